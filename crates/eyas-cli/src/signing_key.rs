//! `key`: a key to sign manifests with (Ed25519, RFC 8032), and the file that holds it.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use ed25519_dalek::{Signer, SigningKey};
use eyas_core::{Error, Result};
use serde_json::json;

use crate::arguments::Common;

/// The arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyCommand {
    /// The file to write the secret key to; one that exists is left alone
    file: PathBuf,
}

/// Runs `key`: writes a new secret key and prints the public one.
pub fn run(common: &Common, command: &KeyCommand) -> Result<()> {
    let path = &command.file;
    let mut seed = [0; 32];
    getrandom03::fill(&mut seed).map_err(|error| Error::internal(format!("the system gave no random bytes: {error}")))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| writeln!(file, "{}", STANDARD.encode(seed)));
    written.map_err(|error| Error::bad_input(format!("{}: {error}", path.display())))?;
    let public_key = KeyFile(SigningKey::from_bytes(&seed)).public_key();
    if common.json {
        println!("{}", json!({ "publicKey": public_key }));
    } else {
        println!("{public_key}");
    }
    Ok(())
}

/// A secret key: 32 bytes in base64, one line.
pub struct KeyFile(SigningKey);

impl KeyFile {
    /// Reads what `key` wrote; `bad-input` where it is anything else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::bad_input(format!("{}: {error}", path.display())))?;
        let seed = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let seed = seed.ok_or_else(|| {
            Error::bad_input(format!(
                "{} is no key; expected a file that \"eyas-cli key\" wrote: 32 bytes in base64",
                path.display()
            ))
        })?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public key in base64, as applications pin it.
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.0.verifying_key().to_bytes())
    }

    /// The signature of `message` in base64.
    pub fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(message).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_standards_first_example() {
        // RFC 8032, section 7.1, test 1.
        let seed: Vec<u8> = (0..32)
            .map(|at| {
                let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
                u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()
            })
            .collect();
        let key = KeyFile(SigningKey::from_bytes(&seed.try_into().unwrap()));
        assert_eq!(key.public_key(), "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        assert!(key.sign(b"").starts_with("5VZDAMNgrHKQhuLMgG6C"));
    }
}
