//! The sequential process (T.81 Annex F), by the definition of the DCT.

use std::f64::consts::PI;

use super::{
    Code, Number, entropy_coded, frame_header, huffman_table, magnitude, scan_header, segment, zigzag,
};

/// Sequential DCT JPEG.
#[derive(Debug, Clone)]
pub struct Sequential {
    pub width: usize,
    pub height: usize,
    /// 8 or 12.
    pub bits: u32,
    /// Sampling factors of each component.
    pub sampling: Vec<(usize, usize)>,
    /// 1 to 100, as other encoders scale their steps by it; 100 makes all 1.
    pub quality: u32,
    /// MCUs between restarts; 0 for none.
    pub restart: usize,
    pub interleaved: bool,
}

/// Quantized coefficients of a component's blocks, row by row, each in natural order.
pub struct Blocks {
    pub across: usize,
    pub blocks: Vec<[i32; 64]>,
}

impl Sequential {
    /// The quantization steps, natural order: steeper for higher frequencies.
    pub fn steps(&self) -> [i32; 64] {
        let scale = if self.quality < 50 {
            5000 / self.quality
        } else {
            200 - 2 * self.quality
        };
        let depth = 1 << (self.bits - 8);
        std::array::from_fn(|place| {
            let step = 12 + 7 * (place / 8 + place % 8);
            (((step as u32 * scale + 50) / 100).clamp(1, 255) * depth) as i32
        })
    }

    fn most(&self) -> (usize, usize) {
        self.sampling
            .iter()
            .fold((1, 1), |(x, y), factors| (x.max(factors.0), y.max(factors.1)))
    }

    /// Width and height of a component.
    pub fn size(&self, component: usize) -> (usize, usize) {
        let (most, factors) = (self.most(), self.sampling[component]);
        (
            (self.width * factors.0).div_ceil(most.0),
            (self.height * factors.1).div_ceil(most.1),
        )
    }

    /// Encodes components of [`Sequential::size`]; gives the coefficients too.
    pub fn encode(&self, planes: &[Vec<u16>]) -> (Vec<u8>, Vec<Blocks>) {
        let most = self.most();
        let mcus = (self.width.div_ceil(8 * most.0), self.height.div_ceil(8 * most.1));
        let components: Vec<Blocks> = (0..planes.len())
            .map(|number| {
                let factors = self.sampling[number];
                self.transformed(
                    &planes[number],
                    self.size(number),
                    (mcus.0 * factors.0, mcus.1 * factors.1),
                )
            })
            .collect();
        let mut out = vec![0xFF, 0xD8];
        let steps = self.steps();
        let mut table = vec![if self.bits == 8 { 0 } else { 16 }];
        for place in zigzag() {
            if self.bits == 12 {
                table.push((steps[place] >> 8) as u8);
            }
            table.push(steps[place] as u8);
        }
        segment(&mut out, 0xDB, &table);
        let marker = if self.bits == 8 { 0xC0 } else { 0xC1 };
        frame_header(
            &mut out,
            marker,
            self.bits,
            (self.width, self.height),
            &self.sampling,
        );
        if self.restart > 0 {
            segment(&mut out, 0xDD, &(self.restart as u16).to_be_bytes());
        }
        let scans: Vec<Vec<usize>> = match self.interleaved {
            true => vec![(0..planes.len()).collect()],
            false => (0..planes.len()).map(|component| vec![component]).collect(),
        };
        for scan in scans {
            let symbols = self.symbols(&scan, mcus, &components);
            let code = |class| Code::of(symbols.iter().flatten().filter(|number| number.class == class));
            let codes = [code(0), code(1)];
            huffman_table(&mut out, 0, &codes[0]);
            huffman_table(&mut out, 0x10, &codes[1]);
            scan_header(&mut out, &scan, 0, 63, 0);
            entropy_coded(&mut out, &symbols, &codes);
        }
        out.extend([0xFF, 0xD9]);
        (out, components)
    }

    /// Quantized coefficients; edges are repeated to fill up blocks.
    fn transformed(&self, plane: &[u16], (width, height): (usize, usize), blocks: (usize, usize)) -> Blocks {
        let steps = self.steps();
        let centre = f64::from(1 << (self.bits - 1));
        let cosines: [[f64; 8]; 8] = std::array::from_fn(|u| {
            let norm = if u == 0 { 0.125_f64.sqrt() } else { 0.5 };
            std::array::from_fn(|x| norm * (PI * u as f64 * (2 * x + 1) as f64 / 16.0).cos())
        });
        let mut out = Vec::new();
        for block in 0..blocks.0 * blocks.1 {
            let (left, top) = (block % blocks.0 * 8, block / blocks.0 * 8);
            let sample = |x: usize, y: usize| {
                let (x, y) = ((left + x).min(width - 1), (top + y).min(height - 1));
                f64::from(plane[y * width + x]) - centre
            };
            let rows: [[f64; 8]; 8] = std::array::from_fn(|y| {
                std::array::from_fn(|u| (0..8).map(|x| sample(x, y) * cosines[u][x]).sum())
            });
            out.push(std::array::from_fn(|place| {
                let (v, u) = (place / 8, place % 8);
                let value: f64 = (0..8).map(|y| rows[y][u] * cosines[v][y]).sum();
                (value / f64::from(steps[place])).round() as i32
            }));
        }
        Blocks {
            across: blocks.0,
            blocks: out,
        }
    }

    /// The symbols of each restart interval.
    fn symbols(&self, scan: &[usize], mcus: (usize, usize), components: &[Blocks]) -> Vec<Vec<Number>> {
        let mut intervals: Vec<Vec<Number>> = Vec::new();
        let mut previous = vec![0; components.len()];
        let order = zigzag();
        // A component alone is coded block by block, without those that fill up MCUs.
        let alone = scan.len() == 1;
        let (across, down) = match alone {
            true => {
                let (width, height) = self.size(scan[0]);
                (width.div_ceil(8), height.div_ceil(8))
            }
            false => mcus,
        };
        for mcu in 0..across * down {
            if mcu == 0 || self.restart > 0 && mcu % self.restart == 0 {
                intervals.push(Vec::new());
                previous.fill(0);
            }
            let Some(numbers) = intervals.last_mut() else {
                continue;
            };
            for &component in scan {
                let (x_blocks, y_blocks) = if alone { (1, 1) } else { self.sampling[component] };
                let Blocks {
                    across: stride,
                    blocks,
                } = &components[component];
                for part in 0..x_blocks * y_blocks {
                    let x = mcu % across * x_blocks + part % x_blocks;
                    let y = mcu / across * y_blocks + part / x_blocks;
                    let block = &blocks[y * stride + x];
                    let (size, bits) = magnitude(block[0] - previous[component]);
                    numbers.push(Number {
                        class: 0,
                        symbol: size as u8,
                        size,
                        bits,
                    });
                    previous[component] = block[0];
                    let mut run = 0;
                    for place in &order[1..] {
                        if block[*place] == 0 {
                            run += 1;
                            continue;
                        }
                        while run > 15 {
                            numbers.push(Number {
                                class: 1,
                                symbol: 0xF0,
                                size: 0,
                                bits: 0,
                            });
                            run -= 16;
                        }
                        let (size, bits) = magnitude(block[*place]);
                        numbers.push(Number {
                            class: 1,
                            symbol: run << 4 | size as u8,
                            size,
                            bits,
                        });
                        run = 0;
                    }
                    if run > 0 {
                        numbers.push(Number {
                            class: 1,
                            symbol: 0,
                            size: 0,
                            bits: 0,
                        });
                    }
                }
            }
        }
        intervals
    }
}
