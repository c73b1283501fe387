//! From the command line to a loaded engine.

use std::{path::Path, rc::Rc};

use eyas_core::{CancelToken, Error, ErrorKind, Progress, Result};
use eyas_engine::{Clock, Engine};
use eyas_kernels::KernelDevice;
use eyas_weights::{DirectoryFiles, FileReader, ModelFiles, gguf_part_names};

use crate::{
    arguments::{Common, Device},
    system_clock::SystemClock,
};

/// The files at `path`: a folder as Hugging Face lays it out, or a `.gguf` file, with all other parts where it is one of several.
pub async fn open_files(path: &Path) -> Result<ModelFiles> {
    if path.is_dir() {
        // The whole path, so that `.` has a name too.
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        return Ok(ModelFiles::Folder(Rc::new(DirectoryFiles::open(whole)?)));
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| gguf_part_names(name).is_some()) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return ModelFiles::open_gguf(&DirectoryFiles::open(folder)?, name).await;
        }
        return Ok(ModelFiles::Gguf(Rc::new(FileReader::open(path)?)));
    }
    if path.exists() {
        let detail = format!("{} is neither a folder nor a .gguf file; give one of these", path.display());
        return Err(Error::bad_input(detail));
    }
    Err(Error::new(ErrorKind::ModelNotFound, format!("{} does not exist; expected a folder or a .gguf file", path.display())))
}

/// The device that was asked for; without a wish the GPU, unless its adapter is only software.
pub async fn open_device(wish: Option<Device>) -> Result<KernelDevice> {
    match wish {
        Some(Device::Cpu) => Ok(KernelDevice::cpu()),
        Some(Device::Gpu) => calibrated(KernelDevice::gpu().await?).await,
        None => match KernelDevice::gpu().await {
            Ok(gpu) if !gpu.report().is_fallback_adapter => calibrated(gpu).await,
            Ok(gpu) => Ok(KernelDevice::cpu().with_reason(format!("{} is no real GPU", gpu.report().name))),
            Err(error) if error.kind() == ErrorKind::WebgpuUnavailable => {
                Ok(KernelDevice::cpu().with_reason(format!("no GPU: {}", error.detail())))
            }
            Err(error) => Err(error),
        },
    }
}

async fn calibrated(gpu: KernelDevice) -> Result<KernelDevice> {
    let clock = SystemClock::start();
    Ok(gpu.calibrated(&|| clock.now_ms()).await?.0)
}

/// Loads the model at `path` as the common options say.
pub async fn load(common: &Common, path: &Path) -> Result<Engine> {
    let files = open_files(path).await?;
    let device = open_device(common.device).await?;
    let silent = |_: Progress| {};
    Engine::load(files, device, common.load_options(), Rc::new(SystemClock::start()), &silent, &CancelToken::new()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_has_a_code() {
        assert_eq!(pollster::block_on(open_files(Path::new("no/such/place"))).unwrap_err().code(), "model-not-found");
        assert_eq!(
            pollster::block_on(open_files(Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("Cargo.toml").as_path()))
                .unwrap_err()
                .code(),
            "bad-input"
        );
    }
}
