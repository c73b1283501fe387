// The package's worker with the page's switches in front of it.
import "./device_switches";
import "eyas/worker.js";
