// What wasm-bindgen generates; the build gives these names to the files.
declare module "eyas-gpu-glue" {
  const glue: import("./wasm_contract.js").WasmModule["default"];
  export default glue;
  export const CancelHandle: import("./wasm_contract.js").WasmModule["CancelHandle"];
  export const WasmTier: import("./wasm_contract.js").WasmModule["WasmTier"];
  export const planModel: import("./wasm_contract.js").WasmModule["planModel"];
  export const judgeModel: import("./wasm_contract.js").WasmModule["judgeModel"];
  export const tryNewer: import("./wasm_contract.js").WasmModule["tryNewer"];
  export const WasmEngine: import("./wasm_contract.js").WasmModule["WasmEngine"];
}
declare module "eyas-cpu-glue" {
  const glue: import("./wasm_contract.js").WasmModule["default"];
  export default glue;
  export const CancelHandle: import("./wasm_contract.js").WasmModule["CancelHandle"];
  export const WasmTier: import("./wasm_contract.js").WasmModule["WasmTier"];
  export const planModel: import("./wasm_contract.js").WasmModule["planModel"];
  export const listModels: import("./wasm_contract.js").WasmStoreModule["listModels"];
  export const removeModel: import("./wasm_contract.js").WasmStoreModule["removeModel"];
  export const judgeModel: import("./wasm_contract.js").WasmModule["judgeModel"];
  export const fetchNewer: import("./wasm_contract.js").WasmStoreModule["fetchNewer"];
  export const tryNewer: import("./wasm_contract.js").WasmModule["tryNewer"];
  export const WasmEngine: import("./wasm_contract.js").WasmModule["WasmEngine"];
  export const exportModel: import("./wasm_contract.js").WasmStoreModule["exportModel"];
  export const importModel: import("./wasm_contract.js").WasmStoreModule["importModel"];
}
