//! A newer version beside the current one: whatever is cut, a load has the one or the other, and a version that fails goes back.

use eyas_core::{Error, Result};
use eyas_store::Which;
use pollster::block_on;

use crate::simulation::{Cut, MODEL, Random, Remote, World, cut_error, load};

fn publish(world: &World, files: &[(String, Vec<u8>)], version: u64) {
    for (name, bytes) in files {
        let remote = Remote {
            bytes: bytes.clone(),
            etag: Some(format!("\"{}\"", eyas_store::Digest::of(bytes))),
            last_modified: Some(format!("version {version}")),
            has_ranges: true,
            tells_length: true,
            shows_range: true,
            honours_if_range: true,
        };
        world.internet.put(&format!("{MODEL}{name}"), remote);
    }
}

fn some(files: &[(String, Vec<u8>)]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|(_, bytes)| Some(bytes.clone())).collect()
}

async fn update(world: &World, names: &[String], random: &mut Random) -> Result<()> {
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
