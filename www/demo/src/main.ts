import { AppShell } from "./app_shell";
import { ChatPanel } from "./chat_panel";
import { NanoPanel } from "./nano_panel";

new ChatPanel();
void new AppShell().register();
void new NanoPanel().load();
