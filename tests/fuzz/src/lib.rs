//! What the targets share: an allocator that counts, and files in memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Most bytes that opening a file may have allocated at once, for each byte of the file.
///
/// Seen at the header limit of 16 MiB, by `heaviest_headers` in `fuzz_targets/reader.rs`: 24 for a shape of zeros (402 MB), 15
/// for as many tensors as fit, 17 for metadata. Serde keeps 32 bytes for each two of such a shape while a list doubles, and
/// counts the old list beside the new: 48 where a list has just doubled.
pub const BYTES_PER_BYTE: usize = 64;

/// Most bytes allocated at once that do not depend on the file: messages, paths, threads' buffers.
pub const BASE: usize = 1 << 20;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

impl Counting {
    fn add(bytes: usize) {
        PEAK.fetch_max(LIVE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may be there while the bytes move.
        Self::add(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and returns what it returns, with the most bytes it had allocated at once.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

/// Runs `work` on `length` bytes.
///
/// # Panics
/// When more is allocated at once than the bytes explain.
pub fn within_limits<T>(length: usize, work: impl FnOnce() -> T) -> T {
    within(BYTES_PER_BYTE, length, work)
}

/// Runs `work` on `length` bytes, each of which may explain `per_byte` bytes of memory.
///
/// # Panics
/// When more is allocated at once than the bytes explain.
pub fn within<T>(per_byte: usize, length: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak_of(work);
    let limit = BASE + per_byte * length;
    assert!(
        peak <= limit,
        "{length} bytes made {peak} bytes be allocated, more than {limit}"
    );
    result
}

/// A file without a name, in memory.
pub struct MemoryFile(File);

impl MemoryFile {
    /// A file of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let mut file = tempfile::tempfile_in("/dev/shm").expect("memory holds a small file");
        file.write_all(bytes).expect("memory holds a small file");
        Self(file)
    }

    /// Where this process finds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// A safetensors file: the length of the header, the header, the tensors' bytes.
pub fn tensor_file(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// Clears the higher bytes of width and height where a format has them in a fixed place, or the first that look like it.
pub fn cut_sides(bytes: &mut [u8]) {
    let zero = |bytes: &mut [u8], at: usize, offsets: &[usize]| {
        for offset in offsets {
            if let Some(byte) = bytes.get_mut(at + offset) {
                *byte = 0;
            }
        }
    };
    if bytes.starts_with(b"\x89PNG") {
        zero(bytes, 16, &[0, 1, 2, 4, 5, 6]);
    }
    for at in 0..bytes.len().saturating_sub(2) {
        match (bytes[at], bytes[at + 1]) {
            // SOF55, behind its length and bits: height, width.
            (0xFF, 0xF7) => zero(bytes, at + 5, &[0, 2]),
            // SIZ, behind its length and capabilities: Xsiz, Ysiz, XOsiz, YOsiz.
            (0xFF, 0x51) => zero(bytes, at + 6, &[0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]),
            _ => {}
        }
    }
}
