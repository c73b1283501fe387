//! A newer version whose worker breaks, or whose tab ends, in the middle of its load or of its first answer: that a try was begun is written down before.

use eyas_core::{Error, ErrorKind};
use eyas_store::{Digest, OpenModel, Which};
use pollster::block_on;

use crate::simulation::{Cut, MODEL, Random, World, cut_error, load};

const NAME: &str = "w.bin";

fn read(model: &OpenModel) -> eyas_core::Result<Vec<u8>> {
    let mut seen = block_on(load(model, &[NAME.to_owned()], &mut Random(1)))?;
    Ok(seen.pop().flatten().unwrap())
}

/// A world with an old version, and a new one that was switched to and not used yet. Returns their bytes too.
fn switched(seed: u64) -> (World, Vec<u8>, Vec<u8>) {
    let mut random = Random(seed);
    let (old, new) = (random.bytes(300), random.bytes(200));
    let world = World::new(seed);
    world.publish(NAME, &old);
    assert_eq!(read(&block_on(world.open(MODEL, Which::Current)).unwrap()).unwrap(), old);
    world.publish(NAME, &new);
    let trial = block_on(world.open(MODEL, Which::Candidate)).unwrap();
    assert_eq!(read(&trial).unwrap(), new);
    block_on(trial.promote()).unwrap();
    drop(trial);
    (world, old, new)
}

/// A load with its mark; the reason where the version before came back for it.
fn begin_load(world: &World) -> (OpenModel, Option<String>) {
    let model = block_on(world.open(MODEL, Which::Current)).unwrap();
    let why = block_on(model.begin_try()).unwrap();
    (model, why)
}

fn version(world: &World) -> String {
    block_on(world.store().list()).unwrap()[0].version.clone().unwrap()
}

#[test]
fn a_worker_that_broke_in_a_load_or_in_the_first_answer_puts_the_version_before_back() {
    for in_answer in [false, true] {
        let (world, old, new) = switched(1);
        let store = world.store();
        assert!(!block_on(store.put_back(MODEL)).unwrap(), "nothing was tried yet");
        let (model, why) = begin_load(&world);
        assert_eq!(why, None);
        if in_answer {
            assert_eq!(read(&model).unwrap(), new);
        }
        drop(model);
        if in_answer {
            assert!(!block_on(store.put_back(MODEL)).unwrap(), "the load has ended");
            assert!(block_on(store.begin_try(MODEL, &version(&world))).unwrap());
        }
        // Here the worker breaks, and another one takes its place.
        world.device.restart(Cut::Power);
        assert!(block_on(store.put_back(MODEL)).unwrap());
        assert!(!block_on(store.put_back(MODEL)).unwrap(), "once");
        world.internet.is_down.set(true);
        assert_eq!(read(&begin_load(&world).0).unwrap(), old);
        assert_eq!(world.device.listing().len(), 4, "nothing of the new version is left");
    }
}

#[test]
fn what_ends_is_no_fault() {
    let (world, _, new) = switched(2);
    let store = world.store();
    let name = version(&world);
    // A load that the network or its caller ended, and answers that were aborted.
    for _ in 0..5 {
        let (model, why) = begin_load(&world);
        assert_eq!(why, None);
        assert!(!block_on(model.fail(&Error::new(ErrorKind::Aborted, "enough"))).unwrap());
        drop(model);
        assert!(block_on(store.begin_try(MODEL, &name)).unwrap());
        assert!(block_on(store.end_try(MODEL, &name)).unwrap());
    }
    assert!(!block_on(store.put_back(MODEL)).unwrap());
    assert_eq!(read(&begin_load(&world).0).unwrap(), new);
    // The version before is gone when it has answered: from then on a broken worker says nothing of versions.
    assert!(block_on(store.begin_try(MODEL, &name)).unwrap());
    assert!(block_on(store.settle(MODEL, &name)).unwrap());
    assert!(!block_on(store.begin_try(MODEL, &name)).unwrap());
    assert!(!block_on(store.put_back(MODEL)).unwrap());
    assert_eq!(world.device.listing().len(), 4);
}

#[test]
fn tabs_that_end_in_the_middle_three_times_in_a_row_put_the_version_before_back() {
    let (world, old, new) = switched(3);
    for _ in 0..3 {
        let (model, why) = begin_load(&world);
        assert_eq!(why, None);
        drop(model);
        world.device.restart(Cut::Kill);
    }
    let (model, why) = begin_load(&world);
    assert!(why.unwrap().contains("3 visits in a row"));
    assert_eq!(read(&model).unwrap(), old);
    drop(model);

    // A load that ends in between counts them anew.
    let (world, _, _) = switched(4);
    for _ in 0..2 {
        for _ in 0..2 {
            drop(begin_load(&world).0);
        }
        assert_eq!(read(&begin_load(&world).0).unwrap().len(), new.len());
    }
    assert!(block_on(world.store().list()).unwrap()[0].has_previous);
}

/// Whatever write of the marks is cut off, a load has one version or the other, whole.
#[test]
fn marks_that_are_cut_leave_a_whole_version() {
    let mut cuts = 0;
    for seed in 0..400 {
        let (world, old, new) = switched(seed);
        let cut = if seed % 2 == 0 { Cut::Kill } else { Cut::Power };
        world.device.cut_after(Some(Random(seed).below(10)));
        let tried = block_on(async {
            let model = world.open(MODEL, Which::Current).await?;
            model.begin_try().await?;
            drop(model);
            let store = world.store();
            if seed % 3 == 0 { store.put_back(MODEL).await } else { store.end_try(MODEL, &version_name(&new)).await }
        });
        if let Err(error) = tried {
            assert!(cut_error(&error), "{seed}: {error}");
            cuts += 1;
        }
        world.device.restart(cut);
        world.internet.is_down.set(true);
        let seen = read(&begin_load(&world).0).unwrap();
        assert!(seen == old || seen == new, "{seed}");
    }
    assert!(cuts > 100, "{cuts}");
}

/// The name of a version with this one file.
fn version_name(bytes: &[u8]) -> String {
    Digest::of(format!("{NAME} {}\n", Digest::of(bytes)).as_bytes()).to_string().chars().take(12).collect()
}
