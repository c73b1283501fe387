//! A quota: what the application called evictable makes room, the least recently used first, and nothing else does.

use eyas_core::ErrorKind;
use eyas_store::{Expectations, Which};
use pollster::block_on;

use crate::simulation::{MODEL, Random, World, load};

fn fetch(world: &World, id: &str, evictable: bool) -> eyas_core::Result<()> {
    block_on(async {
        let model = world.store().open(id, Which::Current, evictable, world.ports(), Expectations::default()).await?;
        load(&model, &[format!("{id}.bin")], &mut Random(9)).await?;
        Ok(())
    })
}

fn stored(world: &World) -> Vec<String> {
    let mut names: Vec<String> =
        block_on(world.store().list()).unwrap().into_iter().filter(|model| model.complete).map(|model| model.id).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_least_recently_used_evictable_model_goes_first() {
    let world = World::new(1);
    let mut random = Random(1);
    for id in ["a", "b", "c", "d", "huge"] {
        let size = if id == "huge" { 40_000 } else { 4_000 };
        world.publish(&format!("{id}.bin"), &random.bytes(size));
    }
    world.device.set_quota(Some(22_000)); // three models with records and digests, with the room that is left beside a fourth
    fetch(&world, "a", true).unwrap();
    fetch(&world, "b", false).unwrap();
    fetch(&world, "c", true).unwrap();
    fetch(&world, "a", true).unwrap(); // used again: "c" is the older one now
    fetch(&world, "d", true).unwrap();
    assert_eq!(stored(&world), ["a", "b", "d"]);

    let error = fetch(&world, "huge", true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.detail().contains("remove a model"), "{error}");
    assert_eq!(stored(&world), ["a", "b", "d"], "what would not have been enough was not removed");
}

#[test]
fn the_room_for_a_model_is_what_is_free_and_what_may_go() {
    let world = World::new(3);
    let mut random = Random(3);
    for id in ["a", "b", "c"] {
        world.publish(&format!("{id}.bin"), &random.bytes(4_000));
    }
    world.device.set_quota(Some(22_000));
    let room = |id: &str| block_on(world.store().room(id)).unwrap();
    assert_eq!((room("a").stored_bytes, room("a").free_bytes), (0, Some(22_000)));
    fetch(&world, "a", true).unwrap();
    fetch(&world, "b", false).unwrap();
    let (own, other) = (room("a"), room("c"));
    assert_eq!((own.stored_bytes, other.stored_bytes), (4_000, 0));
    // A model does not make room for itself, and what is not evictable makes none.
    assert_eq!(other.free_bytes.unwrap() - own.free_bytes.unwrap(), 4_000);
    assert!(other.free_bytes.unwrap() <= 22_000 - 4_000, "{other:?}");
    world.device.set_quota(None);
    assert_eq!(room("c").free_bytes, None);
}

#[test]
fn a_device_that_hides_its_quota_makes_room_when_it_is_full() {
    let world = World::new(2);
    let mut random = Random(2);
    for id in ["a", "b", "c", "d", "huge"] {
        let size = if id == "huge" { 40_000 } else { 4_000 };
        world.publish(&format!("{id}.bin"), &random.bytes(size));
    }
    world.device.hide_quota();
    world.device.set_quota(Some(24_000));
    fetch(&world, "a", true).unwrap();
    fetch(&world, "b", false).unwrap();
    fetch(&world, "c", true).unwrap();
    fetch(&world, "a", true).unwrap();
    fetch(&world, "d", true).unwrap();
    assert_eq!(stored(&world), ["a", "b", "d"]);
    assert_eq!(fetch(&world, "huge", true).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(stored(&world).contains(&"b".to_owned()));
}

#[test]
fn a_quota_that_ends_a_download_keeps_what_is_there() {
    for run in 0..300 {
        let world = World::new(run);
        let mut random = Random(run);
        let bytes = random.bytes(4_000);
        world.publish("a.bin", &bytes);
        // Enough when it is asked, less when it is written: another site has taken it meanwhile.
        let model = block_on(world.store().open("a", Which::Current, false, world.ports(), Expectations::default())).unwrap();
        let url = format!("{MODEL}a.bin");
        let file = block_on(model.open("a.bin", &url, false)).unwrap().unwrap();
        world.device.set_quota(Some(500 + random.below(5_000)));
        let outcome = block_on(async {
            file.read(0, 4_000).await?;
            model.finish().await
        });
        drop((file, model));
        let was_full = outcome.is_err();
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "run {run}: {error}");
        }
        let kept = block_on(world.store().list()).unwrap()[0].bytes;
        world.device.set_quota(None);
        let before = world.internet.served_bytes.get();
        fetch(&world, "a", false).unwrap();
        let served = world.internet.served_bytes.get() - before;
        assert!(!was_full || served <= 4_000 - kept + 64, "run {run}: {served} bytes, {kept} were kept");
    }
}

#[test]
fn what_is_whole_is_read_on_a_device_without_any_room() {
    let world = World::new(5);
    let mut random = Random(5);
    for id in ["a", "b"] {
        world.publish(&format!("{id}.bin"), &random.bytes(4_000));
    }
    fetch(&world, "a", false).unwrap();
    world.device.set_quota(Some(100));
    for _ in 0..3 {
        let served_bytes = world.internet.served_bytes.get();
        fetch(&world, "a", false).unwrap();
        assert_eq!(world.internet.served_bytes.get(), served_bytes);
        assert_eq!(fetch(&world, "b", false).unwrap_err().kind(), ErrorKind::StorageFull);
    }
    assert_eq!(stored(&world), ["a"]);
    world.device.set_quota(None);
    fetch(&world, "b", false).unwrap();
    assert_eq!(stored(&world), ["a", "b"]);
}
