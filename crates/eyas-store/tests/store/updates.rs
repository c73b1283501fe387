//! A newer version beside the current one: whatever is cut, a load has the one or the other, and a version that fails goes back.

use std::cell::RefCell;

use eyas_core::{Error, ErrorKind, Result};
use eyas_store::{Digest, Expectations, Newer, Which};
use pollster::block_on;

use crate::simulation::{Cut, MODEL, Random, Remote, World, cut_error, load};

fn publish(world: &World, files: &[(String, Vec<u8>)], version: u64) {
    for (name, bytes) in files {
        let remote = Remote { last_modified: Some(format!("version {version}")), ..Remote::plain(bytes.clone()) };
        world.internet.put(&format!("{MODEL}{name}"), remote);
    }
}

fn some(files: &[(String, Vec<u8>)]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|(_, bytes)| Some(bytes.clone())).collect()
}

async fn fetch_newer(world: &World) -> Result<Newer> {
    world.store().fetch_newer(MODEL, world.ports(), Expectations::default(), &|_| {}).await
}

async fn update(world: &World, names: &[String], random: &mut Random) -> Result<()> {
    // Either everything is fetched before the trial, or the trial fetches it.
    if random.chance(2) && fetch_newer(world).await? == Newer::Nothing {
        return Ok(());
    }
    let model = world.open(MODEL, Which::Candidate).await?;
    load(&model, names, random).await?;
    model.promote().await?;
    drop(model);
    let model = world.open(MODEL, Which::Current).await?;
    load(&model, names, random).await?;
    model.settle().await
}

#[test]
fn an_update_that_is_cut_leaves_one_version_or_the_other() {
    let (mut olds, mut news, mut shared) = (0, 0, 0);
    for run in 0..2_500 {
        let mut random = Random(run);
        let world = World::new(run);
        let mut old: Vec<(String, Vec<u8>)> = Vec::new();
        for number in 0..3 {
            let size = random.below(400);
            old.push((format!("{number}.bin"), random.bytes(size)));
        }
        let names: Vec<String> = old.iter().map(|(name, _)| name.clone()).collect();
        publish(&world, &old, 1);
        block_on(async { load(&world.open(MODEL, Which::Current).await?, &names, &mut random).await }).unwrap();

        let mut new = old.clone();
        for (_, bytes) in &mut new {
            if random.chance(2) {
                let size = random.below(400);
                *bytes = random.bytes(size);
            }
        }
        publish(&world, &new, 2);
        let cut = if random.chance(2) { Cut::Kill } else { Cut::Power };
        for _ in 0..random.below(3) {
            world.device.cut_after(Some(random.below(80)));
            let updated = block_on(update(&world, &names, &mut random));
            assert!(updated.as_ref().err().is_none_or(cut_error), "run {run}: {updated:?}");
            world.device.restart(cut);
            world.internet.is_down.set(true);
            let seen = block_on(async { load(&world.open(MODEL, Which::Current).await?, &names, &mut random).await }).unwrap();
            assert!(seen == some(&old) || seen == some(&new), "run {run}: a mixture");
            olds += u64::from(seen == some(&old));
            news += u64::from(seen != some(&old));
            world.internet.is_down.set(false);
        }
        let before = world.internet.served_bytes.get();
        block_on(update(&world, &names, &mut random)).unwrap();
        // A cut may have come between the switch and the first answer.
        if let Some(version) = block_on(world.store().list()).unwrap()[0].version.clone() {
            block_on(world.store().settle(MODEL, &version)).unwrap();
        }
        let served = world.internet.served_bytes.get() - before;
        let changed: u64 = old.iter().zip(&new).filter(|(old, new)| old != new).map(|(_, (_, bytes))| bytes.len() as u64).sum();
        assert!(served <= changed, "run {run}: {served} bytes for {changed} that changed");
        shared += u64::from(old.iter().zip(&new).any(|(old, new)| old == new));
        world.internet.is_down.set(true);
        let seen = block_on(async { load(&world.open(MODEL, Which::Current).await?, &names, &mut random).await }).unwrap();
        assert_eq!(seen, some(&new), "run {run}");
        assert_eq!(world.device.listing().len(), 2 * names.len() + 2, "run {run}");
    }
    assert!(olds > 400 && news > 50 && shared > 400, "{olds} old, {news} new, {shared} shared");
}

#[test]
fn a_version_that_fails_goes_back() {
    let world = World::new(5);
    let mut random = Random(5);
    let old = vec![("w.bin".to_owned(), random.bytes(300)), ("x.bin".to_owned(), random.bytes(100))];
    let new = vec![("w.bin".to_owned(), random.bytes(200)), old[1].clone()];
    let names = ["w.bin".to_owned(), "x.bin".to_owned()];
    block_on(async {
        publish(&world, &old, 1);
        load(&world.open(MODEL, Which::Current).await.unwrap(), &names, &mut random).await.unwrap();
        publish(&world, &new, 2);

        // It fails its trial: the current one was never touched.
        let model = world.open(MODEL, Which::Candidate).await.unwrap();
        load(&model, &names, &mut random).await.unwrap();
        assert!(!model.fail(&Error::bad_model("other tokens than the manifest says")).await.unwrap());
        assert!(model.promote().await.is_err());
        drop(model);
        assert_eq!(load(&world.open(MODEL, Which::Current).await.unwrap(), &names, &mut random).await.unwrap(), some(&old));

        // It fails after it was promoted, before it has answered.
        let model = world.open(MODEL, Which::Candidate).await.unwrap();
        load(&model, &names, &mut random).await.unwrap();
        model.promote().await.unwrap();
        drop(model);
        let model = world.open(MODEL, Which::Current).await.unwrap();
        assert!(model.fail(&Error::bad_model("it does not load here")).await.unwrap());
        drop(model);
        assert_eq!(load(&world.open(MODEL, Which::Current).await.unwrap(), &names, &mut random).await.unwrap(), some(&old));
        assert_eq!(world.device.listing().len(), 6);
    });
}

/// A world whose store has `old`, and whose server has `new`.
fn between(seed: u64, old: &[(String, Vec<u8>)], new: &[(String, Vec<u8>)]) -> World {
    let world = World::new(seed);
    publish(&world, old, 1);
    block_on(async { load(&world.open(MODEL, Which::Current).await?, &names(old), &mut Random(seed)).await }).unwrap();
    publish(&world, new, 2);
    world
}

fn names(files: &[(String, Vec<u8>)]) -> Vec<String> {
    files.iter().map(|(name, _)| name.clone()).collect()
}

fn two_versions(seed: u64) -> [Vec<(String, Vec<u8>)>; 2] {
    let mut random = Random(seed);
    let old = vec![("a.json".to_owned(), random.bytes(90)), ("w.bin".to_owned(), random.bytes(900))];
    let new = vec![old[0].clone(), ("w.bin".to_owned(), random.bytes(1_000))];
    [old, new]
}

#[test]
fn what_is_current_costs_a_request_for_each_file_and_no_byte() {
    let [old, _] = two_versions(1);
    let world = World::new(1);
    publish(&world, &old, 1);
    let mut asked = names(&old);
    asked.push("absent.json".into());
    block_on(async { load(&world.open(MODEL, Which::Current).await.unwrap(), &asked, &mut Random(1)).await }).unwrap();
    let (requests, bytes) = (world.internet.requests.get(), world.internet.served_bytes.get());
    assert_eq!(block_on(fetch_newer(&world)).unwrap(), Newer::Nothing);
    assert_eq!((world.internet.requests.get() - requests, world.internet.served_bytes.get() - bytes), (3, 0));
    // A file that was not there appears.
    publish(&world, &[("absent.json".to_owned(), vec![7; 20])], 1);
    assert_eq!(block_on(fetch_newer(&world)).unwrap(), Newer::Fetched);
    assert_eq!(world.internet.served_bytes.get() - bytes, 20);
}

#[test]
fn loads_go_on_while_a_newer_version_is_fetched() {
    for seed in 0..200 {
        let [old, new] = two_versions(seed);
        let world = between(seed, &old, &new);
        let seen = RefCell::new(Vec::new());
        let report = |_: eyas_store::Fetching<'_>| {
            let loaded =
                block_on(async { load(&world.open(MODEL, Which::Current).await?, &names(&old), &mut Random(seed)).await });
            seen.borrow_mut().push(loaded.unwrap());
            assert!(
                !block_on(world.store().make_room(u64::MAX / 2, "another")).is_ok_and(|()| world.device.listing().is_empty())
            );
        };
        let fetched = block_on(world.store().fetch_newer(MODEL, world.ports(), Expectations::default(), &report));
        assert_eq!(fetched.unwrap(), Newer::Fetched);
        assert!(!seen.borrow().is_empty() && seen.borrow().iter().all(|seen| *seen == some(&old)), "{seed}");
        let served = world.internet.served_bytes.get();
        block_on(update(&world, &names(&old), &mut Random(seed))).unwrap();
        assert_eq!(world.internet.served_bytes.get(), served, "the trial fetches nothing again");
        let loaded = block_on(async { load(&world.open(MODEL, Which::Current).await?, &names(&new), &mut Random(seed)).await });
        assert_eq!(loaded.unwrap(), some(&new));
    }
}

#[test]
fn a_network_that_fails_in_the_middle_is_gone_on_with() {
    let mut resumed = 0;
    for seed in 0..500 {
        let [old, new] = two_versions(seed);
        let world = between(seed, &old, &new);
        let before = world.internet.served_bytes.get();
        let mut random = Random(seed);
        // Downloads are cut where the device is; what was written stays.
        world.device.cut_after(Some(random.below(60)));
        let first = block_on(fetch_newer(&world));
        world.device.restart(Cut::Kill);
        let there = world.internet.served_bytes.get() - before;
        world.internet.is_down.set(true);
        if first.is_err() {
            assert_eq!(block_on(fetch_newer(&world)).unwrap_err().kind(), ErrorKind::DownloadFailed);
        }
        world.internet.is_down.set(false);
        assert_eq!(block_on(fetch_newer(&world)).unwrap(), Newer::Fetched);
        let served = world.internet.served_bytes.get() - before;
        // The chunk at hand, and the piece in which it came.
        assert!(served <= 1_000 + u64::from(crate::simulation::CHUNK) + 32, "{seed}: {served}");
        resumed += u64::from(there > 128 && first.is_err());
        block_on(update(&world, &names(&new), &mut random)).unwrap();
    }
    assert!(resumed > 100, "{resumed}");
}

#[test]
fn the_same_bytes_under_another_tag_are_no_version() {
    let [old, _] = two_versions(3);
    let world = between(3, &old, &old);
    for name in names(&old) {
        let url = format!("{MODEL}{name}");
        let mut remote = world.internet.remotes.borrow()[&url].clone();
        remote.etag = Some("\"another\"".into());
        world.internet.put(&url, remote);
    }
    assert_eq!(block_on(fetch_newer(&world)).unwrap(), Newer::Nothing);
    let before = world.internet.served_bytes.get();
    assert_eq!(block_on(fetch_newer(&world)).unwrap(), Newer::Nothing);
    assert_eq!(world.internet.served_bytes.get(), before, "the new tags were kept");
    assert_eq!(world.device.listing().len(), 6);
}

#[test]
fn a_server_that_tells_no_version_is_read_and_compared() {
    let [old, new] = two_versions(4);
    for (now, outcome) in [(&old, Newer::Nothing), (&new, Newer::Fetched)] {
        let world = World::new(4);
        let bare = |files: &[(String, Vec<u8>)]| {
            publish(&world, files, 1);
            for remote in world.internet.remotes.borrow_mut().values_mut() {
                (remote.etag, remote.last_modified) = (None, None);
            }
        };
        bare(&old);
        block_on(async { load(&world.open(MODEL, Which::Current).await?, &names(&old), &mut Random(4)).await }).unwrap();
        bare(now);
        assert_eq!(block_on(fetch_newer(&world)).unwrap(), outcome);
    }
}

#[test]
fn digests_of_the_application_decide() {
    let [old, new] = two_versions(6);
    let world = between(6, &old, &new);
    let expecting = |files: &[(String, Vec<u8>)]| Expectations {
        digests: files.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect(),
        ..Expectations::default()
    };
    let fetch =
        |files: &[(String, Vec<u8>)]| block_on(world.store().fetch_newer(MODEL, world.ports(), expecting(files), &|_| {}));
    // The stored version is the one that is wanted: nobody is asked.
    world.internet.is_down.set(true);
    assert_eq!(fetch(&old).unwrap(), Newer::Nothing);
    world.internet.is_down.set(false);
    let mut other = new.clone();
    other[1].1[5] ^= 1;
    assert_eq!(fetch(&other).unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(world.device.listing().len(), 6, "nothing of it stays");
    assert_eq!(fetch(&new).unwrap(), Newer::Fetched);
}

#[test]
fn an_unproven_version_is_settled_or_rolled_back_by_its_name() {
    let [old, new] = two_versions(8);
    let world = between(8, &old, &new);
    let mut random = Random(8);
    let version = || block_on(world.store().list()).unwrap()[0].version.clone().unwrap();
    let was = version();
    for _ in 0..2 {
        block_on(fetch_newer(&world)).unwrap();
        block_on(async {
            let model = world.open(MODEL, Which::Candidate).await.unwrap();
            load(&model, &names(&new), &mut random).await.unwrap();
            model.promote().await.unwrap();
        });
        let is = version();
        assert_ne!(is, was);
        // An engine of the version before answers; that proves nothing of the new one.
        assert!(!block_on(world.store().settle(MODEL, &was)).unwrap());
        assert!(block_on(world.store().roll_back(MODEL, &is)).unwrap());
        assert_eq!(version(), was);
        assert!(!block_on(world.store().roll_back(MODEL, &is)).unwrap());
    }
    assert_eq!(block_on(fetch_newer(&World::new(9))).unwrap_err().kind(), ErrorKind::ModelNotFound);
}
