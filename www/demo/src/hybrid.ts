import { HybridPanel } from "./hybrid_panel";

new HybridPanel();
