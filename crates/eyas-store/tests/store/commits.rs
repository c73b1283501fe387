//! A first download and an update, cut off at each of their changes on the device, one after another: opening, writing, flushing, and all of the record.

use eyas_core::Result;
use eyas_store::{Expectations, Newer, Which};
use pollster::block_on;

use crate::simulation::{Cut, MODEL, Random, World, cut_error, load};

const SEEDS: u64 = 24;

type Files = Vec<(String, Vec<u8>)>;

fn files(seed: u64) -> Files {
    let mut random = Random(seed);
    let (text, weights) = (1 + random.below(90), random.below(400));
    vec![("a.json".to_owned(), random.bytes(text)), ("w.bin".to_owned(), random.bytes(weights))]
}

/// A world whose server has these files.
fn world_with(seed: u64, files: &Files) -> World {
    let world = World::new(seed);
    world.internet.piece_ms.set([0.0, 100.0][(seed % 2) as usize]);
    publish(&world, files);
    world
}

fn publish(world: &World, files: &Files) {
    for (name, bytes) in files {
        world.publish(name, bytes);
    }
}

/// What every load asks for.
fn names() -> [String; 3] {
    ["a.json", "w.bin", "not-there.json"].map(str::to_owned)
}

fn load_current(world: &World, seed: u64) -> Result<Vec<Option<Vec<u8>>>> {
    block_on(async { load(&world.open(MODEL, Which::Current).await?, &names(), &mut Random(seed)).await })
}

fn seen(files: &Files) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|(_, bytes)| Some(bytes.clone())).chain([None]).collect()
}

/// What a load sees with the network down, which must not need it.
fn load_offline(world: &World, seed: u64) -> Vec<Option<Vec<u8>>> {
    world.internet.is_down.set(true);
    let requests = world.internet.requests.get();
    let seen = load_current(world, seed).unwrap();
    assert_eq!(world.internet.requests.get(), requests);
    world.internet.is_down.set(false);
    seen
}

#[test]
fn a_first_download_cut_at_each_change() {
    let (mut runs, mut committed) = (0, 0);
    for seed in 0..SEEDS {
        let files = files(seed);
        let whole = world_with(seed, &files);
        assert_eq!(load_current(&whole, seed).unwrap(), seen(&files));
        for change in 0..whole.device.changes() {
            for cut in [Cut::Kill, Cut::Power] {
                let world = world_with(seed, &files);
                world.device.cut_after(Some(change));
                assert!(cut_error(&load_current(&world, seed).unwrap_err()), "seed {seed}, change {change}");
                world.device.restart(cut);
                // The record is whole, whatever it says, and where it says that the model is, nobody needs the network.
                let listed = block_on(world.store().list()).unwrap();
                if listed.iter().any(|model| model.complete) {
                    assert_eq!(load_offline(&world, seed), seen(&files), "seed {seed}, change {change}, {cut:?}");
                    committed += 1;
                }
                assert_eq!(load_current(&world, seed).unwrap(), seen(&files), "seed {seed}, change {change}, {cut:?}");
                world.device.restart(Cut::Power);
                assert_eq!(load_offline(&world, seed), seen(&files), "seed {seed}, change {change}, {cut:?}");
                assert_eq!(world.device.listing().len(), 6, "seed {seed}, change {change}, {cut:?}");
                runs += 1;
            }
        }
    }
    assert!(runs > 1_000 && committed > 0, "{runs} runs, {committed} behind the commit");
    println!("{runs} runs, {committed} of them cut behind the commit");
}

async fn update(world: &World, seed: u64) -> Result<()> {
    if world.store().fetch_newer(MODEL, world.ports(), Expectations::default(), &|_| {}).await? == Newer::Fetched {
        let trial = world.open(MODEL, Which::Candidate).await?;
        load(&trial, &names(), &mut Random(seed)).await?;
        trial.promote().await?;
    }
    let model = world.open(MODEL, Which::Current).await?;
    load(&model, &names(), &mut Random(seed)).await?;
    model.settle().await
}

#[test]
fn an_update_cut_at_each_change() {
    let (mut runs, mut olds) = (0, 0);
    for seed in 0..SEEDS {
        let old = files(seed);
        let mut new = files(seed ^ 0x0dd);
        if seed % 3 == 0 {
            new[0] = old[0].clone();
        }
        let stored = || {
            let world = world_with(seed, &old);
            load_current(&world, seed).unwrap();
            publish(&world, &new);
            world
        };
        let whole = stored();
        let before = whole.device.changes();
        block_on(update(&whole, seed)).unwrap();
        for change in 0..whole.device.changes() - before {
            for cut in [Cut::Kill, Cut::Power] {
                let world = stored();
                world.device.cut_after(Some(change));
                assert!(cut_error(&block_on(update(&world, seed)).unwrap_err()), "seed {seed}, change {change}");
                world.device.restart(cut);
                let found = load_offline(&world, seed);
                assert!(found == seen(&old) || found == seen(&new), "seed {seed}, change {change}, {cut:?}: a mixture");
                olds += u64::from(found == seen(&old));
                block_on(update(&world, seed)).unwrap();
                assert_eq!(load_offline(&world, seed), seen(&new), "seed {seed}, change {change}, {cut:?}");
                assert_eq!(world.device.listing().len(), 6, "seed {seed}, change {change}, {cut:?}");
                runs += 1;
            }
        }
    }
    assert!(runs > 1_000 && olds > 100 && runs - olds > 100, "{runs} runs, {olds} with the old version");
    println!("{runs} runs, {olds} of them with the old version");
}

/// A list is made without a lock: records that another tab is writing in that moment are read again, and no model is missing.
#[test]
fn a_model_is_listed_while_another_tab_writes_its_record() {
    let files = files(3);
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let world = world_with(3, &files);
    block_on(async { load(&world.open(MODEL, Which::Current).await?, &names, &mut Random(3)).await }).unwrap();
    for torn in 0..=5 {
        world.device.tear_loads(torn);
        let listed = block_on(world.store().list()).unwrap();
        assert_eq!(listed.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), [MODEL], "{torn} loads torn");
    }
    // What stays damaged is no model.
    world.device.tear_loads(100);
    assert!(block_on(world.store().list()).unwrap().is_empty());
}
