//! Encoders as the standards describe them, for tests and measurements: slow and plain, on nothing but `std`.

#![allow(
    missing_docs,
    dead_code,
    reason = "tests and measurements use different parts"
)]

mod lossless;
mod sequential;

pub use lossless::Lossless;
pub use sequential::Sequential;

/// Values of 12 bits like those of a chest radiograph: large soft shapes, ribs, a little noise.
pub fn radiograph(width: usize, height: usize) -> Vec<u16> {
    let mut state = 1_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        // The sum of four: nearly normal.
        (0..4).map(|part| (state >> (28 + 9 * part)) & 15).sum::<u64>() as f64 - 30.0
    };
    let mut values = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f64 / width as f64 - 0.5, y as f64 / height as f64 - 0.5);
            let lung = |centre: f64| (-((u - centre) / 0.13).powi(2) - (v / 0.3).powi(2)).exp();
            let rib = 140.0 * (60.0 * (v + u * u)).sin() * (-6.0 * u * u).exp();
            let value = 2700.0 - 1500.0 * (lung(-0.22) + lung(0.22)) - 900.0 * v + rib + 1.6 * noise();
            values.push(value.clamp(0.0, 4095.0) as u16);
        }
    }
    values
}

/// DICOM RLE: a segment for each plane of bytes.
pub fn rle(planes: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![planes.len() as u32];
    let mut data = Vec::new();
    for plane in planes {
        header.push(64 + data.len() as u32);
        let mut rest = &plane[..];
        while !rest.is_empty() {
            let run_at = |at: usize| {
                rest[at..]
                    .iter()
                    .take(128)
                    .take_while(|byte| **byte == rest[at])
                    .count()
            };
            let run = run_at(0);
            if run > 1 {
                data.extend([(257 - run) as u8, rest[0]]);
                rest = &rest[run..];
            } else {
                let literal = (1..rest.len().min(128))
                    .find(|at| run_at(*at) > 2)
                    .unwrap_or(rest.len().min(128));
                data.push(literal as u8 - 1);
                data.extend_from_slice(&rest[..literal]);
                rest = &rest[literal..];
            }
        }
        data.resize(data.len().next_multiple_of(2), 0);
    }
    header.resize(16, 0);
    let header = header.into_iter().flat_map(u32::to_le_bytes);
    header.chain(data).collect()
}

/// High and low bytes of words, as RLE keeps them.
pub fn byte_planes(values: &[u16]) -> Vec<Vec<u8>> {
    let byte = |shift: u32| values.iter().map(|value| (value >> shift) as u8).collect();
    vec![byte(8), byte(0)]
}

/// A Huffman symbol and the number behind it.
struct Number {
    /// 0 for differences, 1 for AC coefficients.
    class: usize,
    symbol: u8,
    size: u32,
    bits: u32,
}

/// How many bits a number takes, and which.
fn magnitude(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    let bits = if value < 0 { value - 1 } else { value } as u32;
    (size, bits & ((1_u32 << size) - 1))
}

/// Natural places in the order of coding.
pub fn zigzag() -> [usize; 64] {
    let mut places: [usize; 64] = std::array::from_fn(|place| place);
    places.sort_by_key(|place| {
        let (row, column) = (place / 8, place % 8);
        let diagonal = row + column;
        (diagonal, if diagonal % 2 == 0 { column } else { row })
    });
    places
}

/// A Huffman code of at most 16 bits.
struct Code {
    counts: [u8; 16],
    symbols: Vec<u8>,
    /// Prefix and length of each symbol.
    prefixes: [(u32, u32); 256],
}

impl Code {
    fn of<'a>(numbers: impl Iterator<Item = &'a Number>) -> Self {
        let mut frequencies = [0_u64; 256];
        numbers.for_each(|number| frequencies[usize::from(number.symbol)] += 1);
        let lengths = loop {
            let lengths = Self::lengths(&frequencies);
            if lengths.iter().all(|length| *length <= 16) {
                break lengths;
            }
            frequencies
                .iter_mut()
                .filter(|count| **count > 0)
                .for_each(|count| *count = *count / 2 + 1);
        };
        let mut symbols: Vec<u8> = (0..=255)
            .filter(|symbol| lengths[usize::from(*symbol)] > 0)
            .collect();
        symbols.sort_by_key(|symbol| lengths[usize::from(*symbol)]);
        let (mut counts, mut prefixes) = ([0; 16], [(0, 0); 256]);
        let (mut next, mut last) = (0, 0);
        for symbol in symbols.iter().map(|symbol| usize::from(*symbol)) {
            next <<= lengths[symbol] - last;
            last = lengths[symbol];
            counts[last as usize - 1] += 1;
            prefixes[symbol] = (next, last);
            next += 1;
        }
        Self {
            counts,
            symbols,
            prefixes,
        }
    }

    /// Joins the two rarest until all are one; one more symbol keeps the prefix of ones free (T.81 K.2).
    fn lengths(frequencies: &[u64; 256]) -> [u32; 256] {
        let mut lengths = [0; 257];
        let used = (0..256).filter(|symbol| frequencies[*symbol] > 0);
        let mut groups: Vec<(u64, Vec<usize>)> =
            used.map(|symbol| (frequencies[symbol], vec![symbol])).collect();
        groups.push((0, vec![256]));
        while groups.len() > 1 {
            groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            let (Some(last), Some(other)) = (groups.pop(), groups.pop()) else {
                break;
            };
            let symbols = [last.1, other.1].concat();
            symbols.iter().for_each(|symbol| lengths[*symbol] += 1);
            groups.push((last.0 + other.0, symbols));
        }
        std::array::from_fn(|symbol| lengths[symbol])
    }
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xFF, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend_from_slice(body);
}

fn frame_header(out: &mut Vec<u8>, marker: u8, bits: u32, size: (usize, usize), sampling: &[(usize, usize)]) {
    let mut body = vec![bits as u8];
    body.extend((size.1 as u16).to_be_bytes());
    body.extend((size.0 as u16).to_be_bytes());
    body.push(sampling.len() as u8);
    for (id, (x, y)) in (1_u8..).zip(sampling) {
        body.extend([id, (x << 4 | y) as u8, 0]);
    }
    segment(out, marker, &body);
}

fn scan_header(out: &mut Vec<u8>, components: &[usize], start: u8, end: u8, shift: u8) {
    let mut body = vec![components.len() as u8];
    components
        .iter()
        .for_each(|component| body.extend([*component as u8 + 1, 0]));
    body.extend([start, end, shift]);
    segment(out, 0xDA, &body);
}

fn huffman_table(out: &mut Vec<u8>, destination: u8, code: &Code) {
    let body = [&[destination][..], &code.counts, &code.symbols].concat();
    segment(out, 0xC4, &body);
}

/// Writes symbols by the code of their class; restart markers between intervals, zeros after each byte of ones.
fn entropy_coded(out: &mut Vec<u8>, intervals: &[Vec<Number>], codes: &[Code]) {
    for (number, interval) in intervals.iter().enumerate() {
        if number > 0 {
            out.extend([0xFF, 0xD0 + (number - 1) as u8 % 8]);
        }
        let (mut buffer, mut count) = (0_u64, 0);
        let mut put = |bits: u32, length: u32| {
            buffer = buffer << length | u64::from(bits);
            count += length;
            while count >= 8 {
                count -= 8;
                let byte = (buffer >> count) as u8;
                out.push(byte);
                if byte == 0xFF {
                    out.push(0);
                }
            }
        };
        for Number {
            class,
            symbol,
            size,
            bits,
        } in interval
        {
            let (prefix, length) = codes[*class].prefixes[usize::from(*symbol)];
            put(prefix, length);
            put(*bits, *size);
        }
        // Ones to the end of the byte.
        put(0x7F, 7);
    }
}
