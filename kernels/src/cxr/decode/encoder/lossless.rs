//! The lossless process (T.81 Annex H).

use super::{Code, Number, entropy_coded, frame_header, huffman_table, magnitude, scan_header, segment};

/// Lossless JPEG.
#[derive(Debug, Clone, Copy)]
pub struct Lossless {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub bits: u32,
    pub predictor: u8,
    pub shift: u32,
    /// Rows between restarts; 0 for none.
    pub restart_rows: usize,
    /// One scan for all channels, or one for each.
    pub interleaved: bool,
}

impl Lossless {
    /// Encodes values, channels of a pixel side by side.
    pub fn encode(&self, values: &[u16]) -> Vec<u8> {
        let Self {
            width,
            height,
            channels,
            bits,
            ..
        } = *self;
        let mut out = vec![0xFF, 0xD8];
        let components: Vec<_> = (0..channels).map(|_| (1, 1)).collect();
        frame_header(&mut out, 0xC3, bits, (width, height), &components);
        if self.restart_rows > 0 {
            segment(
                &mut out,
                0xDD,
                &((self.restart_rows * width) as u16).to_be_bytes(),
            );
        }
        let scans: Vec<Vec<usize>> = match self.interleaved {
            true => vec![(0..channels).collect()],
            false => (0..channels).map(|channel| vec![channel]).collect(),
        };
        for scan in scans {
            let symbols = self.symbols(&scan, values);
            let code = Code::of(symbols.iter().flatten());
            huffman_table(&mut out, 0, &code);
            scan_header(&mut out, &scan, self.predictor, 0, self.shift as u8);
            entropy_coded(&mut out, &symbols, &[code]);
        }
        out.extend([0xFF, 0xD9]);
        out
    }

    /// The symbols of each restart interval.
    fn symbols(&self, scan: &[usize], values: &[u16]) -> Vec<Vec<Number>> {
        let Self {
            width,
            height,
            channels,
            bits,
            predictor,
            shift,
            restart_rows,
            ..
        } = *self;
        let at = |x: usize, y: usize, channel: usize| {
            i32::from(values[(y * width + x) * channels + channel] >> shift)
        };
        let mut intervals: Vec<Vec<Number>> = Vec::new();
        for y in 0..height {
            let first = if restart_rows == 0 {
                y == 0
            } else {
                y % restart_rows == 0
            };
            if first {
                intervals.push(Vec::new());
            }
            for x in 0..width {
                for &channel in scan {
                    let prediction = match (x, first) {
                        (0, true) => 1 << (bits - shift - 1),
                        (0, false) => at(0, y - 1, channel),
                        (_, true) => at(x - 1, y, channel),
                        _ => {
                            let [a, b, c] =
                                [(x - 1, y), (x, y - 1), (x - 1, y - 1)].map(|(x, y)| at(x, y, channel));
                            match predictor {
                                1 => a,
                                2 => b,
                                3 => c,
                                4 => a + b - c,
                                5 => a + ((b - c) >> 1),
                                6 => b + ((a - c) >> 1),
                                _ => (a + b) >> 1,
                            }
                        }
                    };
                    let difference = (at(x, y, channel) - prediction) as u16 as i16;
                    let (symbol, (size, bits)) = match difference {
                        // Without bits of its own.
                        i16::MIN => (16, (0, 0)),
                        _ => {
                            let number = magnitude(i32::from(difference));
                            (number.0 as u8, number)
                        }
                    };
                    let number = Number {
                        class: 0,
                        symbol,
                        size,
                        bits,
                    };
                    if let Some(interval) = intervals.last_mut() {
                        interval.push(number);
                    }
                }
            }
        }
        intervals
    }
}
