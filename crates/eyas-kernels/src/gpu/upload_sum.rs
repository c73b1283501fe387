//! Whether a GPU holds what was sent to it: a sum over the words of every buffer, made by the host before they leave and by the GPU where they arrived.
//!
//! The words are mixed with their places, so that a word that changed, or stands elsewhere, changes the sum. Four bytes a buffer are read back.

use std::cell::RefCell;

use burn::{backend::wgpu::CubeTensor, tensor::Bytes};
use eyas_core::{Error, ErrorKind, Result};

use super::{
    audit::{Part, read_parts},
    backend::launch,
    kernel::Kernel,
    picker::words,
};
use crate::KernelDevice;

/// What a word's place is multiplied with: an odd number without a pattern.
pub(super) const PLACE: u32 = 0x9e37_79b1;

/// Workgroups of 64 threads that sum up a buffer at most.
const GROUPS: u32 = 256;

/// Buffers that are summed up before their sums are read: their sums and extents always take the same two buffers.
const SUMMED_AT_ONCE: usize = 64;

/// Words from one extent to the next: WebGPU binds a part of a buffer at multiples of 256 bytes, or of less.
const EXTENT_WORDS: usize = 64;

/// Threads of them all.
pub(super) const THREADS: usize = 64 * GROUPS as usize;

thread_local! {
    /// What was sent in the upload that is under way.
    static SENT: RefCell<Option<Vec<Sent>>> = const { RefCell::new(None) };
}

/// A tensor that was made of values of the host.
pub(crate) struct Sent {
    tensor: CubeTensor,
    words: usize,
    sum: u32,
}

/// Runs `work`, and takes down what it sends.
pub(crate) fn during<R>(work: impl FnOnce() -> R) -> (R, Vec<Sent>) {
    SENT.set(Some(Vec::new()));
    let result = work();
    (result, SENT.take().unwrap_or_default())
}

/// How many words are about to be sent, and their sum, where an upload is under way.
pub(crate) fn sum_of_sent(words: &[u32]) -> Option<(usize, u32)> {
    SENT.with_borrow(|sent| sent.is_some().then(|| (words.len(), summed(0, words))))
}

/// Takes down the tensor that was made of words with this sum, where an upload is under way.
pub(crate) fn note(sum: Option<(usize, u32)>, tensor: impl FnOnce() -> Option<CubeTensor>) {
    if let Some((words, sum)) = sum
        && let Some(tensor) = tensor()
    {
        SENT.with_borrow_mut(|sent| sent.as_mut().map(|sent| sent.push(Sent { tensor, words, sum })));
    }
}

impl Sent {
    /// How many words it is.
    pub(crate) fn words(&self) -> usize {
        self.words
    }
}

/// Fails with `bad-device` and the name of what was sent where the GPU's sums are others than those of the host.
pub(crate) async fn check(device: &KernelDevice, sent: &[(String, Sent)]) -> Result<()> {
    let mut sums = Vec::with_capacity(sent.len());
    for sent in sent.chunks(SUMMED_AT_ONCE) {
        sums.extend(of_gpu(device, sent).await?);
    }
    let Some(wrong) = sent.iter().zip(&sums).position(|((_, sent), sum)| sent.sum != *sum) else { return Ok(()) };
    // Either the buffer is damaged, or the sum was not computed as it should: it is another one the second time.
    let again = of_gpu(device, &sent[wrong..=wrong]).await?;
    let what = if again.first() == sums.get(wrong) {
        "what was uploaded arrived damaged in this device's memory".to_owned()
    } else {
        let second = again.first().copied().unwrap_or_default();
        format!("this device computes wrong values: the same words gave {} the first time and {second} the second", sums[wrong])
    };
    Err(Error::new(ErrorKind::BadDevice, format!("{}: {what}; use the CPU, or another browser or driver", sent[wrong].0)))
}

/// The sums of what the GPU holds, of at most [`SUMMED_AT_ONCE`] buffers.
async fn of_gpu(device: &KernelDevice, sent: &[(String, Sent)]) -> Result<Vec<u32>> {
    let Some((_, first)) = sent.first() else { return Ok(Vec::new()) };
    let totals = words(&first.tensor, SUMMED_AT_ONCE);
    let mut table = vec![0; SUMMED_AT_ONCE * EXTENT_WORDS];
    for (slot, ((_, sent), extent)) in sent.iter().zip(table.chunks_exact_mut(EXTENT_WORDS)).enumerate() {
        extent[..2].copy_from_slice(&[sent.words as u32, slot as u32]);
    }
    let table = first.tensor.client.create(Bytes::from_elems(table));
    for (slot, (_, sent)) in sent.iter().enumerate() {
        let extent = table.clone().offset_start(4 * (slot * EXTENT_WORDS) as u64);
        let groups = (sent.words as u32).div_ceil(64).clamp(1, GROUPS);
        launch(&totals, Kernel::Checksum, [groups, 1, 1], &[&sent.tensor.handle, &extent, &totals.handle]);
    }
    let part = Part { handle: &totals.handle, start: 0, length: sent.len(), stride: 0, count: 1 };
    let mut read = Box::pin(read_parts(device, &totals.client, &[part])).await?;
    read.pop().ok_or_else(|| Error::internal("reading one buffer returned none"))
}

/// The sum of words that stand at the places from `first` on, as the kernel makes it. The sum of a buffer is that of its parts.
pub(super) fn summed(first: usize, words: &[u32]) -> u32 {
    let mix = |(place, word): (usize, &u32)| {
        let both = word ^ (place as u32).wrapping_mul(PLACE);
        both.wrapping_mul((both >> 16) | 1)
    };
    (first..).zip(words).map(mix).fold(0, u32::wrapping_add)
}

#[cfg(test)]
mod tests {
    use eyas_core::WeightKind;
    use pollster::block_on;

    use super::*;
    use crate::{MatrixSpec, Uploads, upload_matrix};

    #[test]
    fn a_changed_or_moved_word_changes_the_sum() {
        let plain: Vec<u32> = (0..1000).map(|index: u32| index.wrapping_mul(2_654_435_761) >> 7).collect();
        let sum = summed(0, &plain);
        assert_eq!(summed(0, &plain[..333]).wrapping_add(summed(333, &plain[333..])), sum);
        for (first, second) in [(0, 1), (3, 999), (500, 501)] {
            let mut moved = plain.clone();
            moved.swap(first, second);
            assert_ne!(summed(0, &moved), sum, "{first} and {second}");
            // The highest bits of two words: sums of products would not notice.
            let mut signs = plain.clone();
            signs[first] ^= 1 << 31;
            assert_ne!(summed(0, &signs), sum, "{first}");
            signs[second] ^= 1 << 31;
            assert_ne!(summed(0, &signs), sum, "{first} and {second}");
        }
        assert_ne!(summed(0, &[0; 5]), summed(0, &[0; 6]));
        assert_eq!(summed(0, &[]), 0);
    }

    fn named(sent: Vec<Sent>) -> Vec<(String, Sent)> {
        sent.into_iter().enumerate().map(|(index, sent)| (format!("tensor {index}"), sent)).collect()
    }

    #[test]
    fn a_gpu_sums_up_as_the_host_does() {
        let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
        let sizes = [1, 2, 63, 64, 65, THREADS - 1, THREADS, THREADS + 1, 3 * THREADS + 77];
        let make = || {
            for size in sizes {
                let words: Vec<u32> = (0..size as u32).map(|index| index.wrapping_mul(0x0101_0f35) ^ 0x8000_0001).collect();
                device.words(words.clone(), [size]);
                device.floats(words.iter().map(|word| *word as f32 - 3.5e9).collect(), [size]);
            }
        };
        let ((), sent) = during(make);
        assert_eq!(sent.len(), 2 * sizes.len());
        block_on(check(&device, &named(sent))).unwrap();
        let mut uploads = Uploads::new(&device);
        block_on(uploads.send("x", make)).unwrap();
        block_on(uploads.finish()).unwrap();
        device.words(vec![7], [1]);
        let spec = MatrixSpec { rows: 2, cols: 32, kind: WeightKind::Q8, has_bias: false };
        upload_matrix(&device, vec![1; 2 * spec.words_per_row()], vec![1.0; 2 * spec.blocks_per_row()], spec);
        assert!(SENT.with_borrow(Option::is_none), "nothing is taken down outside of an upload");
    }

    #[test]
    fn what_arrived_damaged_is_told() {
        let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
        for damaged in 0..3 {
            let (_, mut sent) = during(|| [5_000_usize, 1, 70].map(|size| device.words(vec![3; size], [size])));
            sent[damaged].sum ^= 1 << 9;
            let error = block_on(check(&device, &named(sent))).unwrap_err();
            let told = format!("tensor {damaged}: what was uploaded arrived damaged");
            assert!(error.code() == "bad-device" && error.detail().contains(&told), "{error}");
        }
    }
}
