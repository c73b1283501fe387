import { ChatPanel } from "./chat_panel";
import { NanoPanel } from "./nano_panel";

new ChatPanel();
void new NanoPanel().load();
