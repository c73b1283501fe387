//! A model's manifest, read before anything else of it.

use std::rc::Rc;

use eyas_core::{Error, Result, format_bytes};

use crate::{
    MANIFEST_NAME, Manifest, OpenModel, SIGNATURE_NAME,
    manifest::{MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, unsigned},
};

/// Whether a file is the manifest or its signature.
pub(crate) fn is_of_manifest(name: &str) -> bool {
    [MANIFEST_NAME, SIGNATURE_NAME].contains(&name)
}

impl OpenModel {
    /// Reads the manifest that the application wishes, where there is one, and holds every file against it from here on.
    ///
    /// # Errors
    ///
    /// `integrity` where a signature is demanded and there is none, or a wrong one; `unsupported-model` where the model needs a newer version of Eyas;
    /// `bad-model` where the manifest is malformed.
    pub async fn read_manifest(&self) -> Result<Option<Rc<Manifest>>> {
        let wish = self.expectations.manifest.clone();
        let Some(url) = &wish.url else {
            return if wish.signature.is_some() { Err(unsigned("this model has no place for one")) } else { Ok(None) };
        };
        let Some(bytes) = self.small_file(MANIFEST_NAME, url, MAX_MANIFEST_BYTES).await? else {
            return if wish.signature.is_some() { Err(unsigned(&format!("there is none at {url}"))) } else { Ok(None) };
        };
        if let Some(check) = &wish.signature {
            let place = signature_url(url);
            let signature = self.small_file(SIGNATURE_NAME, &place, MAX_SIGNATURE_BYTES).await?;
            let signature = signature.ok_or_else(|| unsigned(&format!("its signature is not at {place}")))?;
            let text = String::from_utf8_lossy(&signature);
            if !check.verify(&bytes, text.trim()).await? {
                return Err(unsigned(&format!("the one at {url} was not signed with the key that is pinned")));
            }
        }
        let manifest = Manifest::parse(&bytes)?;
        if let Some(name) = wish.lists.as_ref().filter(|name| manifest.file(name).is_none()) {
            let what = format!("the one at {url} does not list {name}");
            return if wish.signature.is_some() { Err(unsigned(&what)) } else { Ok(None) };
        }
        manifest.check_version(wish.eyas_version)?;
        let manifest = Rc::new(manifest);
        self.adopt(Some(manifest.clone()));
        Ok(Some(manifest))
    }

    /// The bytes of a small file; none where there is none, or where a complete version was loaded without it.
    async fn small_file(&self, name: &str, url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let is_without = |version: &crate::Version| version.complete && version.file(name).is_none();
        if self.shelf().is_some_and(|shelf| shelf.version(is_without)) {
            return Ok(None);
        }
        let Some(file) = self.open(name, url, true).await? else { return Ok(None) };
        if file.size() > limit {
            let detail = format!("{name} has {}; expected at most {}", format_bytes(file.size()), format_bytes(limit));
            return Err(Error::bad_model(detail));
        }
        file.read(0, usize::try_from(file.size()).unwrap_or_default()).await.map(Some)
    }
}

/// Where a manifest's signature is: under its own address with `.sig` behind the path.
fn signature_url(url: &str) -> String {
    let (path, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    format!("{path}.sig{rest}")
}

#[cfg(test)]
mod tests {
    use super::signature_url;

    #[test]
    fn a_signature_is_beside_its_manifest() {
        assert_eq!(
            signature_url("https://m.test/a/eyas.manifest.json?token=1"),
            "https://m.test/a/eyas.manifest.json.sig?token=1"
        );
    }
}
