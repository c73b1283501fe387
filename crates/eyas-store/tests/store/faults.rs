//! Servers with faults: a load either has exactly a file that the server had, or fails with the code for it and can be tried again.

use eyas_core::ErrorKind;
use eyas_store::{Expectations, OpenModel, Which};
use pollster::block_on;

use crate::simulation::{MODEL, Random, Remote, World, load};

#[test]
fn broken_connections_end_whole_or_with_a_code() {
    let (mut failed, mut whole) = (0, 0);
    for run in 0..4_000 {
        let mut random = Random(run ^ 0xfa);
        let world = World::new(run);
        world.internet.faults.set(1 + random.below(4));
        let size = random.below(1500);
        let keeps = !random.chance(4);
        let mut remote = Remote::plain(random.bytes(size));
        remote.has_ranges = !random.chance(4);
        remote.shows_range = random.chance(2);
        let url = format!("{MODEL}w.bin");
        world.internet.put(&url, remote.clone());
        let files = ["w.bin".to_owned()];
        for attempt in 0.. {
            if random.chance(5) {
                // The server gets another file, and says so.
                let size = random.below(1500);
                remote.bytes = random.bytes(size);
                remote.etag = Some(format!("\"{}\"", 2 + attempt));
                world.internet.put(&url, remote.clone());
            }
            let seen = block_on(async {
                let model = if keeps {
                    world.open(MODEL, Which::Current).await?
                } else {
                    OpenModel::passing(world.ports(), Expectations::default())
                };
                load(&model, &files, &mut random).await
            });
            match seen {
                Ok(seen) => {
                    assert_eq!(seen, [Some(remote.bytes.clone())], "run {run}");
                    whole += 1;
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::DownloadFailed, "run {run}: {error}");
                    failed += 1;
                }
            }
            if attempt > 40 {
                world.internet.faults.set(0);
            }
        }
    }
    assert!(failed > 1_000 && whole == 4_000, "{failed} failed, {whole} whole");
    println!("4000 runs whole after {failed} failed attempts");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_never_mixed() {
    for run in 0..500 {
        let mut random = Random(run);
        let world = World::new(run);
        let url = format!("{MODEL}w.bin");
        let old = random.bytes(1000);
        let new = random.bytes(1000);
        world.internet.put(&url, Remote::plain(old));
        let model = block_on(world.open(MODEL, Which::Current)).unwrap();
        let file = block_on(model.open("w.bin", &url, true)).unwrap().unwrap();
        block_on(file.read(0, 1 + random.below(600) as usize)).unwrap();
        let mut changed = Remote::plain(new.clone());
        changed.etag = Some("\"2\"".into());
        world.internet.put(&url, changed);
        // The open answer goes on with the old file unless it breaks.
        world.internet.faults.set(0);
        drop((file, model));
        let seen =
            block_on(async { load(&world.open(MODEL, Which::Current).await?, &["w.bin".into()], &mut random).await }).unwrap();
        assert_eq!(seen, [Some(new)], "run {run}");
    }
}

#[test]
fn another_file_of_the_same_length_without_validators_is_noticed() {
    let world = World::new(1);
    let mut random = Random(1);
    let url = format!("{MODEL}w.bin");
    let silent = |bytes| Remote { etag: None, ..Remote::plain(bytes) };
    world.internet.put(&url, silent(random.bytes(640)));
    let model = block_on(world.open(MODEL, Which::Current)).unwrap();
    let file = block_on(model.open("w.bin", &url, true)).unwrap().unwrap();
    block_on(file.read(0, 320)).unwrap();
    drop((file, model));
    let new = random.bytes(640);
    world.internet.put(&url, silent(new.clone()));
    let mut load_again =
        || block_on(async { load(&world.open(MODEL, Which::Current).await?, &["w.bin".into()], &mut random).await });
    let error = load_again().unwrap_err();
    assert!(error.kind().retryable() && error.detail().contains("changed"), "{error}");
    assert_eq!(load_again().unwrap(), [Some(new)]);
}

#[test]
fn a_sha256_of_the_application_is_demanded() {
    let world = World::new(2);
    let mut random = Random(2);
    let bytes = random.bytes(300);
    world.internet.put(&format!("{MODEL}w.bin"), Remote::plain(bytes.clone()));
    let mut attempt = |sha256: eyas_store::Digest| {
        block_on(async {
            let expectations = Expectations { digests: [("w.bin".to_owned(), sha256)].into(), ..Expectations::default() };
            let model = world.store().open(MODEL, Which::Current, false, world.ports(), expectations).await?;
            let loaded = load(&model, &["w.bin".into()], &mut random).await;
            if let Err(error) = &loaded {
                model.fail(error).await?;
            }
            loaded
        })
    };
    let right = eyas_store::Digest::of(&bytes);
    let wrong = eyas_store::Digest::of(b"something else");
    assert_eq!(attempt(wrong).unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(attempt(right).unwrap(), [Some(bytes.clone())]);
    // What is stored is held against it too.
    assert_eq!(attempt(wrong).unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(attempt(right).unwrap(), [Some(bytes)]);
}

#[test]
fn files_that_are_no_model_are_not_kept() {
    let world = World::new(3);
    let mut random = Random(3);
    world.internet.put(&format!("{MODEL}w.bin"), Remote::plain(random.bytes(300)));
    block_on(async {
        let model = world.open(MODEL, Which::Current).await.unwrap();
        load(&model, &["w.bin".into()], &mut random).await.unwrap();
        // A load finishes a model only when it succeeded; here it did, so a later complaint does not throw it away.
        model.fail(&eyas_core::Error::bad_model("no tensors")).await.unwrap();
        assert_eq!(world.store().list().await.unwrap().len(), 1);
        drop(model);
        assert!(world.store().remove(MODEL).await.unwrap());
        assert!(!world.store().remove(MODEL).await.unwrap());

        let model = world.open(MODEL, Which::Current).await.unwrap();
        model.open("w.bin", &format!("{MODEL}w.bin"), true).await.unwrap().unwrap().read(0, 10).await.unwrap();
        model.fail(&eyas_core::Error::bad_model("no tensors")).await.unwrap();
        assert!(world.store().list().await.unwrap().is_empty());
        assert!(world.device.listing().is_empty(), "{:?}", world.device.listing());
    });
}

#[test]
fn a_device_that_saves_data_is_asked_first() {
    let world = World::new(4);
    let mut random = Random(4);
    world.internet.put(&format!("{MODEL}w.bin"), Remote::plain(random.bytes(300)));
    let mut attempt = |unasked_bytes| {
        block_on(async {
            let expectations = Expectations { unasked_bytes, ..Expectations::default() };
            let model = world.store().open(MODEL, Which::Current, false, world.ports(), expectations).await?;
            load(&model, &["w.bin".into()], &mut random).await
        })
    };
    let error = attempt(Some(299)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverBudget);
    assert!(error.detail().contains("dataSaver"), "{error}");
    attempt(Some(300)).unwrap();
    attempt(Some(0)).unwrap(); // nothing is left to fetch
}

#[test]
fn where_only_connections_break_every_byte_is_fetched_once() {
    let mut failed = 0;
    for run in 0..1_000 {
        let mut random = Random(run ^ 0x0ce);
        let world = World::new(run);
        world.internet.faults.set(1 + random.below(3));
        world.internet.piece_ms.set([0.0, 40.0, 100.0][random.below(3) as usize]);
        let size = random.below(1500);
        let remote = Remote::plain(random.bytes(size));
        world.internet.put(&format!("{MODEL}w.bin"), remote.clone());
        for attempt in 0.. {
            // Chunks so large that nothing is fetched ahead.
            let store = world.store().with_chunk_bytes(256);
            let seen = block_on(async {
                let model = store.open(MODEL, Which::Current, true, world.ports(), Expectations::default()).await?;
                load(&model, &["w.bin".into()], &mut random).await
            });
            match seen {
                Ok(seen) => {
                    assert_eq!(seen, [Some(remote.bytes)], "run {run}");
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::DownloadFailed, "run {run}: {error}"),
            }
            failed += 1;
            if attempt > 40 {
                world.internet.faults.set(0);
            }
        }
        assert_eq!(world.internet.served_bytes.get(), size, "run {run}");
    }
    assert!(failed > 200, "{failed} visits failed: the simulation is too kind");
}
