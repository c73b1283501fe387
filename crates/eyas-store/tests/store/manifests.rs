//! Manifests: files are held against them, signatures are demanded, and an update costs one request where the manifest is the same.

use std::rc::Rc;

use eyas_core::{ErrorKind, Result};
use eyas_store::{
    Digest, Expectations, MANIFEST_NAME, Manifest, ManifestFile, ManifestWish, Newer, OpenModel, SIGNATURE_NAME, SignatureCheck,
    Which,
};
use eyas_weights::LocalFuture;
use pollster::block_on;

use crate::simulation::{MODEL, Random, World, load};

type Files = Vec<(String, Vec<u8>)>;

/// Takes the digest of a message for its signature.
struct Check;

impl SignatureCheck for Check {
    fn verify<'a>(&'a self, message: &'a [u8], signature: &'a str) -> LocalFuture<'a, Result<bool>> {
        Box::pin(std::future::ready(Ok(signature == Digest::of(message).to_string())))
    }
}

/// Puts files on the server, with a signed manifest that says what `change` makes of it.
fn publish(world: &World, files: &Files, change: impl FnOnce(&mut Manifest)) {
    for (name, bytes) in files {
        world.publish(name, bytes);
    }
    let listed = files.iter().map(|(name, bytes)| ManifestFile {
        name: name.clone(),
        bytes: bytes.len() as u64,
        sha256: Digest::of(bytes),
    });
    let mut manifest = Manifest::new("m", listed.collect());
    change(&mut manifest);
    let text = serde_json::to_vec(&manifest).unwrap();
    world.publish(SIGNATURE_NAME, Digest::of(&text).to_string().as_bytes());
    world.publish(MANIFEST_NAME, &text);
}

fn expecting(is_signed: bool) -> Expectations {
    let manifest = ManifestWish {
        url: Some(format!("{MODEL}{MANIFEST_NAME}")),
        lists: None,
        eyas_version: "0.2.0",
        signature: is_signed.then(|| Rc::new(Check) as Rc<dyn SignatureCheck>),
    };
    Expectations { manifest, ..Expectations::default() }
}

/// Loads as the shell does: the manifest first.
async fn load_listed(model: &OpenModel, names: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    let loaded = async {
        model.read_manifest().await?;
        load(model, names, &mut Random(3)).await
    };
    let loaded = loaded.await;
    if let Err(error) = &loaded {
        model.fail(error).await?;
    }
    loaded
}

fn visit(world: &World, names: &[String], is_signed: bool) -> Result<Vec<Option<Vec<u8>>>> {
    block_on(async {
        let model = world.store().open(MODEL, Which::Current, true, world.ports(), expecting(is_signed)).await?;
        load_listed(&model, names).await
    })
}

fn files(seed: u64) -> Files {
    let mut random = Random(seed);
    vec![("c.json".to_owned(), random.bytes(90)), ("w.bin".to_owned(), random.bytes(900))]
}

fn names(files: &Files) -> Vec<String> {
    files.iter().map(|(name, _)| name.clone()).collect()
}

fn some(files: &Files) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|(_, bytes)| Some(bytes.clone())).collect()
}

#[test]
fn files_are_held_against_the_manifest() {
    let files = files(1);
    for (what, kind) in [
        ("fine", None),
        ("bytes", Some(ErrorKind::Integrity)),
        ("sha256", Some(ErrorKind::Integrity)),
        ("version", Some(ErrorKind::UnsupportedModel)),
    ] {
        for is_signed in [false, true] {
            let world = World::new(1);
            publish(&world, &files, |manifest| match what {
                "bytes" => manifest.files[1].bytes += 1,
                "sha256" => manifest.files[1].sha256 = Digest::of(b"another"),
                "version" => manifest.minimum_version = Some("0.3.0".into()),
                _ => manifest.minimum_version = Some("0.1.9".into()),
            });
            let before = world.internet.served_bytes.get();
            let seen = visit(&world, &names(&files), is_signed);
            assert_eq!(seen.as_ref().err().map(eyas_core::Error::kind), kind, "{what}: {seen:?}");
            match kind {
                None => assert_eq!(seen.unwrap(), some(&files)),
                Some(_) => assert_eq!(world.device.listing(), [], "{what}"),
            }
            if what == "bytes" {
                assert!(world.internet.served_bytes.get() - before < 900, "its size was known before");
            }
            if kind.is_none() {
                // Without a network, and with the signature checked again.
                world.internet.is_down.set(true);
                assert_eq!(visit(&world, &names(&files), is_signed).unwrap(), some(&files));
            }
        }
    }
}

#[test]
fn what_is_not_listed_is_not_asked_for() {
    let files = files(2);
    let world = World::new(2);
    publish(&world, &files, |_| {});
    world.publish("planted.json", b"{}");
    let mut asked = names(&files);
    asked.push("planted.json".into());
    assert_eq!(visit(&world, &asked, true).unwrap()[2], None);
    // The manifest of another model in the folder is none of this one's.
    let world = World::new(2);
    publish(&world, &files, |_| {});
    world.publish("other.gguf", b"GGUF");
    let mut expectations = expecting(false);
    expectations.manifest.lists = Some("other.gguf".into());
    let model = block_on(world.store().open(MODEL, Which::Current, true, world.ports(), expectations)).unwrap();
    assert_eq!(block_on(load_listed(&model, &["other.gguf".to_owned()])).unwrap(), [Some(b"GGUF".to_vec())]);
}

#[test]
fn without_the_publishers_signature_nothing_is_fetched() {
    let files = files(3);
    for what in ["no manifest", "no signature", "another signature", "another manifest"] {
        let world = World::new(3);
        publish(&world, &files, |_| {});
        match what {
            "no manifest" => _ = world.internet.remotes.borrow_mut().remove(&format!("{MODEL}{MANIFEST_NAME}")),
            "no signature" => _ = world.internet.remotes.borrow_mut().remove(&format!("{MODEL}{SIGNATURE_NAME}")),
            "another signature" => world.publish(SIGNATURE_NAME, Digest::of(b"another").to_string().as_bytes()),
            _ => world.publish(MANIFEST_NAME, br#"{"format":1,"name":"m","files":[]}"#),
        }
        let error = visit(&world, &names(&files), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{what}: {error}");
        assert!(world.internet.served_bytes.get() < 500, "{what}");
        assert_eq!(world.device.listing(), [], "{what}");
        if what != "another manifest" {
            assert_eq!(visit(&world, &names(&files), false).unwrap(), some(&files), "nobody demands it");
        }
    }
}

#[test]
fn where_nothing_is_kept_files_are_hashed_all_the_same() {
    for seed in 0..300 {
        let mut files = files(seed);
        let world = World::new(seed);
        publish(&world, &files, |_| {});
        let mut random = Random(seed);
        let damage = random.below(3);
        if damage == 1 {
            files[1].1[random.below(900) as usize] ^= 1;
        } else if damage == 2 {
            files[0].1[random.below(90) as usize] ^= 1;
        }
        for (name, bytes) in &files {
            world.publish(name, bytes);
        }
        let seen = block_on(async {
            let model = OpenModel::passing(world.ports(), expecting(true));
            model.read_manifest().await?;
            let weights = model.open("w.bin", &format!("{MODEL}w.bin"), true).await?.unwrap();
            // A part of it, in any order.
            for _ in 0..random.below(6) {
                let from = random.below(900);
                let length = random.below(900 - from);
                weights.read(from, length as usize).await?;
            }
            model.open("c.json", &format!("{MODEL}c.json"), true).await?;
            model.finish().await
        });
        assert_eq!(seen.map_err(|error| error.kind()), if damage == 0 { Ok(()) } else { Err(ErrorKind::Integrity) }, "{seed}");
    }
}

#[test]
fn an_update_goes_by_the_manifest() {
    let old = files(5);
    let mut new = old.clone();
    new[1].1 = Random(55).bytes(1_000);
    let fetch = |world: &World| block_on(world.store().fetch_newer(MODEL, world.ports(), expecting(true), &|_| {}));
    let world = World::new(5);
    publish(&world, &old, |_| {});
    visit(&world, &names(&old), true).unwrap();
    let (requests, bytes) = (world.internet.requests.get(), world.internet.served_bytes.get());
    assert_eq!(fetch(&world).unwrap(), Newer::Nothing);
    assert_eq!((world.internet.requests.get() - requests, world.internet.served_bytes.get() - bytes), (1, 0));

    publish(&world, &new, |_| {});
    world.publish(SIGNATURE_NAME, b"forged");
    assert_eq!(fetch(&world).unwrap_err().kind(), ErrorKind::Integrity);
    publish(&world, &new, |manifest| manifest.minimum_version = Some("1.0.0".into()));
    assert_eq!(fetch(&world).unwrap_err().kind(), ErrorKind::UnsupportedModel);
    publish(&world, &old, |_| {});
    assert_eq!(fetch(&world).unwrap(), Newer::Nothing, "everything is as it was");

    publish(&world, &new, |_| {});
    let bytes = world.internet.served_bytes.get();
    assert_eq!(fetch(&world).unwrap(), Newer::Fetched);
    assert!(world.internet.served_bytes.get() - bytes < 1_600, "the weights, the manifest and its signature");
    block_on(async {
        let model = world.store().open(MODEL, Which::Candidate, true, world.ports(), expecting(true)).await.unwrap();
        assert_eq!(load_listed(&model, &names(&new)).await.unwrap(), some(&new));
        model.promote().await.unwrap();
    });
    world.internet.is_down.set(true);
    assert_eq!(visit(&world, &names(&new), true).unwrap(), some(&new));
}

#[test]
fn a_model_that_was_stored_without_a_manifest_gets_one_by_an_update() {
    let files = files(7);
    let world = World::new(7);
    for (name, bytes) in &files {
        world.publish(name, bytes);
    }
    visit(&world, &names(&files), false).unwrap();
    publish(&world, &files, |_| {});
    let requests = world.internet.requests.get();
    assert_eq!(visit(&world, &names(&files), false).unwrap(), some(&files));
    assert_eq!(world.internet.requests.get(), requests, "a complete model asks nobody");
    let bytes = world.internet.served_bytes.get();
    let fetched = block_on(world.store().fetch_newer(MODEL, world.ports(), expecting(true), &|_| {}));
    assert_eq!(fetched.unwrap(), Newer::Fetched);
    assert!(world.internet.served_bytes.get() - bytes < 600, "no file was fetched again");
}
