//! `pack`: writes the manifest of a model that is to be published, and signs it.

use std::{fs, io::Read, path::Path, path::PathBuf};

use clap::Args;
use eyas_core::{DeviceKind, Error, Result, format_bytes};
use eyas_engine::{ModelHeaders, ModelKind, certain_tokens};
use eyas_store::{ExpectedAnswer, MANIFEST_NAME, Manifest, ManifestFile, RunningDigest, SIGNATURE_NAME};
use eyas_weights::check_file_name;
use serde_json::{Value, json};

use crate::{
    arguments::Common,
    load::{load, open_files},
    signing_key::KeyFile,
};

const PIECE_BYTES: usize = 1 << 20;

/// The flags of `pack`.
#[derive(Debug, Args)]
pub struct PackCommand {
    /// The folder that is to be published; the manifest is written into it
    folder: PathBuf,
    /// What the model is called; absent: as the folder
    #[arg(long)]
    name: Option<String>,
    /// Its licence, as an SPDX expression or in words
    #[arg(long)]
    licence: Option<String>,
    /// The first version of Eyas that runs it; absent: this one
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    minimum_version: String,
    /// What the model is let continue, so that an update can be checked against it
    #[arg(long, default_value = "The sun rises in the")]
    prompt: String,
    /// Tokens of that answer to write down, at most; those that could differ between devices are left out
    #[arg(long, value_name = "N", default_value_t = 8)]
    tokens: usize,
    /// A file that `calibrate` wrote
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Signs the manifest with a key that `key` made
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
}

/// Runs `pack`.
pub async fn run(common: &Common, command: &PackCommand) -> Result<()> {
    let folder = &command.folder;
    if !folder.is_dir() {
        return Err(Error::bad_input(format!("{} is no folder; give the one that is to be published", folder.display())));
    }
    // What can't be signed with is said before minutes are spent.
    let key = command.sign.as_deref().map(KeyFile::read).transpose()?;
    let mut files = Vec::new();
    list(folder, "", &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));

    let name = match &command.name {
        Some(name) => name.clone(),
        None => folder_name(folder),
    };
    let mut manifest = Manifest::new(&name, files);
    manifest.licence.clone_from(&command.licence);
    manifest.minimum_version = Some(command.minimum_version.clone());
    manifest.calibration = command.calibration.as_deref().map(read_json).transpose()?;
    let model = model_in(folder, &manifest)?;
    let model_files = open_files(&model).await?;
    if ModelKind::of(&model_files).await? == ModelKind::Decoder {
        let engine = load(common, &model).await?;
        let tokens = certain_tokens(&engine, &command.prompt, command.tokens).await?;
        if !tokens.is_empty() {
            let quantize = engine.info().quantize.name().to_owned();
            manifest.expected.push(ExpectedAnswer { prompt: command.prompt.clone(), quantize, tokens });
        }
    }
    manifest.plan = Some(plan(common, &ModelHeaders::open(&model_files).await?)?);
    manifest.check_version(env!("CARGO_PKG_VERSION"))?;

    let mut text = serde_json::to_string_pretty(&manifest)
        .map_err(|error| Error::internal(format!("the manifest can't be written: {error}")))?;
    text.push('\n');
    Manifest::parse(text.as_bytes())?;
    write(&folder.join(MANIFEST_NAME), &text)?;
    let signature = folder.join(SIGNATURE_NAME);
    match &key {
        Some(key) => write(&signature, &format!("{}\n", key.sign(text.as_bytes())))?,
        // One of an earlier manifest would only be wrong.
        None if signature.exists() => fs::remove_file(&signature).map_err(|error| failed(&signature, &error))?,
        None => {}
    }
    report(common, &manifest, key.as_ref());
    Ok(())
}

fn report(common: &Common, manifest: &Manifest, key: Option<&KeyFile>) {
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let tokens = manifest.expected.first().map_or(0, |expected| expected.tokens.len());
    let public_key = key.map(KeyFile::public_key);
    if common.json {
        let files = manifest.files.len();
        println!(
            "{}",
            json!({ "name": manifest.name, "files": files, "bytes": bytes, "expectedTokens": tokens, "publicKey": public_key })
        );
        return;
    }
    println!("{}: {} files, {}", manifest.name, manifest.files.len(), format_bytes(bytes));
    match tokens {
        0 => println!("no expected tokens: none is certain to be the same on every device; another --prompt may have some"),
        tokens => println!("{tokens} expected tokens"),
    }
    if let Some(public_key) = public_key {
        println!("signed; applications pin it with publicKey: \"{public_key}\"");
    }
}

/// The model in the folder: the folder itself as a load by its address takes it, or its GGUF file.
fn model_in(folder: &Path, manifest: &Manifest) -> Result<PathBuf> {
    if manifest.file("config.json").is_some() {
        return Ok(folder.to_owned());
    }
    let mut ggufs =
        manifest.files.iter().map(|file| file.name.as_str()).filter(|name| name.to_ascii_lowercase().ends_with(".gguf"));
    match (ggufs.next(), ggufs.next()) {
        (None, _) => Ok(folder.to_owned()),
        (Some(only), None) => Ok(folder.join(only)),
        (Some(first), Some(_)) if eyas_weights::gguf_part_names(first).is_some() => Ok(folder.join(first)),
        _ => Err(Error::bad_input(format!("{} has more than one .gguf model; a manifest describes one", folder.display()))),
    }
}

fn plan(common: &Common, headers: &ModelHeaders) -> Result<Value> {
    let need = headers.need(&common.load_options(), DeviceKind::Cpu)?;
    Ok(json!({
        "contextTokens": need.context_tokens, "weightBytes": need.weight_bytes, "cacheBytes": need.cache_bytes,
        "scratchBytes": need.scratch_bytes, "stagingBytes": need.staging_bytes,
        "largestBufferBytes": need.largest_buffer_bytes, "downloadBytes": need.download_bytes,
    }))
}

/// Every file below a folder with its hash; hidden ones and the manifest's own are left out.
fn list(folder: &Path, prefix: &str, files: &mut Vec<ManifestFile>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        let path = entry.path();
        let name =
            entry.file_name().into_string().map_err(|_| Error::bad_input(format!("{} is no UTF-8 name", path.display())))?;
        if name.starts_with('.') || [MANIFEST_NAME, SIGNATURE_NAME].contains(&name.as_str()) {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            list(&path, &format!("{name}/"), files)?;
        } else {
            check_file_name(&name)?;
            let (bytes, sha256) = hash(&path)?;
            files.push(ManifestFile { name, bytes, sha256 });
        }
    }
    Ok(())
}

fn hash(path: &Path) -> Result<(u64, eyas_store::Digest)> {
    let mut file = fs::File::open(path).map_err(|error| failed(path, &error))?;
    let (mut running, mut bytes, mut piece) = (RunningDigest::default(), 0, vec![0; PIECE_BYTES]);
    loop {
        let count = file.read(&mut piece).map_err(|error| failed(path, &error))?;
        if count == 0 {
            return Ok((bytes, running.finish()));
        }
        running.update(&piece[..count]);
        bytes += count as u64;
    }
}

fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|error| failed(path, &error))?;
    serde_json::from_str(&text).map_err(|error| Error::bad_input(format!("{} is no JSON: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::bad_input(format!("{}: {error}", path.display()))
}
