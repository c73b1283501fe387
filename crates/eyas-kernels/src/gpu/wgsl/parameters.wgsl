// The words of the parameters: see `Drawer`.
const FLAGS: u32 = 0u;
const INVERSE_TEMPERATURE: u32 = 1u;
const K: u32 = 2u;
const P: u32 = 3u;
const MIN_P: u32 = 4u;
const REPETITION: u32 = 5u;
const PRESENCE: u32 = 6u;
const FREQUENCY: u32 = 7u;
const UNITS: u32 = 8u;

const ADJUST: u32 = 1u;
const TOP_K: u32 = 2u;
const TOP_P: u32 = 4u;
