// The package's worker behind the peers' benchmark's counters.
import "/bench/prelude.js";
import "./eyas/worker.js";
