//! A JPEG-LS encoder for tests: the standard's steps one after another, nothing fast.

/// What to encode, and how.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub bits: u32,
    pub near: i32,
    /// 0: none, 1: by line, 2: by sample.
    pub interleave: u8,
    /// MAXVAL, T1, T2, T3, RESET, written as given when there are any.
    pub preset: Option<[u16; 5]>,
    /// Channels side by side.
    pub pixels: Vec<u16>,
}

struct Writer {
    out: Vec<u8>,
    byte: u32,
    count: u32,
}

impl Writer {
    fn bit(&mut self, bit: u32) {
        self.byte = (self.byte << 1) | bit;
        self.count += 1;
        let full = if self.out.last() == Some(&0xFF) { 7 } else { 8 };
        if self.count == full {
            self.out.push(self.byte as u8);
            (self.byte, self.count) = (0, 0);
        }
    }

    fn bits(&mut self, value: u32, count: u32) {
        for i in (0..count).rev() {
            self.bit((value >> i) & 1);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.bit(0);
        }
        if self.out.last() == Some(&0xFF) {
            self.out.push(0);
        }
        self.out
    }
}

struct State {
    near: i32,
    max: i32,
    range: i32,
    t: [i32; 3],
    reset: i32,
    limit: i32,
    qbpp: i32,
    a: Vec<i32>,
    b: Vec<i32>,
    c: Vec<i32>,
    n: Vec<i32>,
    nn: [i32; 2],
}

fn log2_up(value: i32) -> i32 {
    (0..).find(|n| (1_i64 << n) >= i64::from(value)).unwrap()
}

impl State {
    fn new(picture: &Picture) -> Self {
        let [max, t1, t2, t3, reset] = picture.preset.unwrap_or_default().map(i32::from);
        let near = picture.near;
        let max = if max == 0 { (1 << picture.bits) - 1 } else { max };
        let clamp = |value: i32, least: i32| {
            if value > max || value < least {
                least
            } else {
                value
            }
        };
        let (d1, d2, d3);
        if max >= 128 {
            let factor = (max.min(4095) + 128) / 256;
            d1 = clamp(factor + 2 + 3 * near, near + 1);
            d2 = clamp(factor * (7 - 3) + 3 + 5 * near, d1);
            d3 = clamp(factor * (21 - 4) + 4 + 7 * near, d2);
        } else {
            let factor = 256 / (max + 1);
            d1 = clamp((3 / factor + 3 * near).max(2), near + 1);
            d2 = clamp((7 / factor + 5 * near).max(3), d1);
            d3 = clamp((21 / factor + 7 * near).max(4), d2);
        }
        let or = |given: i32, default: i32| if given == 0 { default } else { given };
        let range = (max + 2 * near) / (2 * near + 1) + 1;
        let bpp = log2_up(max + 1).max(2);
        let a = ((range + 32) / 64).max(2);
        Self {
            near,
            max,
            range,
            t: [or(t1, d1), or(t2, d2), or(t3, d3)],
            reset: or(reset, 64),
            limit: 2 * (bpp + bpp.max(8)),
            qbpp: log2_up(range),
            a: vec![a; 367],
            b: vec![0; 365],
            c: vec![0; 365],
            n: vec![1; 367],
            nn: [0; 2],
        }
    }

    fn quantize(&self, d: i32) -> i32 {
        let [t1, t2, t3] = self.t;
        match d {
            d if d <= -t3 => -4,
            d if d <= -t2 => -3,
            d if d <= -t1 => -2,
            d if d < -self.near => -1,
            d if d <= self.near => 0,
            d if d < t1 => 1,
            d if d < t2 => 2,
            d if d < t3 => 3,
            _ => 4,
        }
    }

    /// The quantised error of a prediction, and the sample a decoder will have.
    fn error(&self, sample: i32, predicted: i32, sign: i32) -> (i32, i32) {
        let mut error = sign * (sample - predicted);
        let step = 2 * self.near + 1;
        error = if error > 0 {
            (error + self.near) / step
        } else {
            -(self.near - error) / step
        };
        let rebuilt = (predicted + sign * error * step).clamp(0, self.max);
        if error < 0 {
            error += self.range;
        }
        if error >= (self.range + 1) / 2 {
            error -= self.range;
        }
        (error, rebuilt)
    }

    fn golomb(&self, out: &mut Writer, value: i32, k: i32, limit: i32) {
        let high = value >> k;
        if high < limit - self.qbpp - 1 {
            (0..high).for_each(|_| out.bit(0));
            out.bit(1);
            out.bits(value as u32, k as u32);
        } else {
            (0..limit - self.qbpp - 1).for_each(|_| out.bit(0));
            out.bit(1);
            out.bits((value - 1) as u32, self.qbpp as u32);
        }
    }

    fn regular(&mut self, out: &mut Writer, q: [i32; 3], [ra, rb, rc]: [i32; 3], sample: i32) -> i32 {
        let sum = 81 * q[0] + 9 * q[1] + q[2];
        let (sign, i) = if sum < 0 {
            (-1, -sum as usize)
        } else {
            (1, sum as usize)
        };
        let mut px = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        px = (px + sign * self.c[i]).clamp(0, self.max);
        let (error, rebuilt) = self.error(sample, px, sign);
        let mut k = 0;
        while (self.n[i] << k) < self.a[i] {
            k += 1;
        }
        let mapped = if self.near == 0 && k == 0 && 2 * self.b[i] <= -self.n[i] {
            if error >= 0 {
                2 * error + 1
            } else {
                -2 * (error + 1)
            }
        } else if error >= 0 {
            2 * error
        } else {
            -2 * error - 1
        };
        self.golomb(out, mapped, k, self.limit);
        self.b[i] += error * (2 * self.near + 1);
        self.a[i] += error.abs();
        if self.n[i] == self.reset {
            self.a[i] /= 2;
            self.b[i] = if self.b[i] >= 0 {
                self.b[i] / 2
            } else {
                -((1 - self.b[i]) / 2)
            };
            self.n[i] /= 2;
        }
        self.n[i] += 1;
        if self.b[i] <= -self.n[i] {
            self.b[i] += self.n[i];
            if self.c[i] > -128 {
                self.c[i] -= 1;
            }
            if self.b[i] <= -self.n[i] {
                self.b[i] = -self.n[i] + 1;
            }
        } else if self.b[i] > 0 {
            self.b[i] -= self.n[i];
            if self.c[i] < 127 {
                self.c[i] += 1;
            }
            if self.b[i] > 0 {
                self.b[i] = 0;
            }
        }
        rebuilt
    }

    fn run_end(&mut self, out: &mut Writer, order: u32, kind: usize, ra: i32, rb: i32, sample: i32) -> i32 {
        let px = if kind == 1 { ra } else { rb };
        let sign = if kind == 0 && ra > rb { -1 } else { 1 };
        let (error, rebuilt) = self.error(sample, px, sign);
        let q = 365 + kind;
        let temp = if kind == 0 {
            self.a[q]
        } else {
            self.a[q] + self.n[q] / 2
        };
        let mut k = 0;
        while (self.n[q] << k) < temp {
            k += 1;
        }
        let map = (k == 0 && error > 0 && 2 * self.nn[kind] < self.n[q])
            || (error < 0 && 2 * self.nn[kind] >= self.n[q])
            || (error < 0 && k != 0);
        let mapped = 2 * error.abs() - kind as i32 - i32::from(map);
        self.golomb(out, mapped, k, self.limit - order as i32 - 1);
        if error < 0 {
            self.nn[kind] += 1;
        }
        self.a[q] += (mapped + 1 - kind as i32) / 2;
        if self.n[q] == self.reset {
            self.a[q] /= 2;
            self.n[q] /= 2;
            self.nn[kind] /= 2;
        }
        self.n[q] += 1;
        rebuilt
    }

    /// Encodes components `which` of the lines; `rows[c][y][x]` become what a decoder will have.
    fn scan(&mut self, rows: &mut [Vec<Vec<i32>>], which: &[usize], by_sample: bool) -> Vec<u8> {
        let mut out = Writer {
            out: vec![],
            byte: 0,
            count: 0,
        };
        let (height, width) = (rows[0].len(), rows[0][0].len());
        let mut orders = vec![0_usize; which.len()];
        for y in 0..height {
            let groups: Vec<Vec<usize>> = if by_sample {
                vec![which.to_vec()]
            } else {
                which.iter().map(|c| vec![*c]).collect()
            };
            for (turn, group) in groups.iter().enumerate() {
                let mut x = 0;
                while x < width {
                    let at = |c: usize, x: isize, y: isize, rows: &[Vec<Vec<i32>>]| -> i32 {
                        let (w, y0) = (width as isize, y);
                        match (x, y) {
                            (_, ..0) => 0,
                            (-1, _) => {
                                if y0 == 0 {
                                    0
                                } else {
                                    rows[c][y0 as usize - 1][0]
                                }
                            }
                            (x, y) => rows[c][y as usize][x.min(w - 1) as usize],
                        }
                    };
                    let (xi, yi) = (x as isize, y as isize);
                    let around = |c: usize, x: isize, rows: &[Vec<Vec<i32>>]| {
                        let (ra, rb) = (at(c, x - 1, yi, rows), at(c, x, yi - 1, rows));
                        // Left of the line above lies what its own left neighbour was.
                        (ra, rb, at(c, x - 1, yi - 1, rows), at(c, x + 1, yi - 1, rows))
                    };
                    let q: Vec<[i32; 3]> = group
                        .iter()
                        .map(|c| {
                            let (ra, rb, rc, rd) = around(*c, xi, rows);
                            [rd - rb, rb - rc, rc - ra].map(|d| self.quantize(d))
                        })
                        .collect();
                    if q.iter().any(|q| *q != [0; 3]) {
                        for (c, q) in group.iter().zip(&q) {
                            let (ra, rb, rc, _) = around(*c, xi, rows);
                            let sample = rows[*c][y][x];
                            rows[*c][y][x] = self.regular(&mut out, *q, [ra, rb, rc], sample);
                        }
                        x += 1;
                        continue;
                    }
                    let values: Vec<i32> = group.iter().map(|c| around(*c, xi, rows).0).collect();
                    let mut count = 0;
                    while x < width
                        && group
                            .iter()
                            .zip(&values)
                            .all(|(c, v)| (rows[*c][y][x] - v).abs() <= self.near)
                    {
                        group.iter().zip(&values).for_each(|(c, v)| rows[*c][y][x] = *v);
                        (x, count) = (x + 1, count + 1);
                    }
                    let j = |order: usize| super::coder::RUN_ORDER[order];
                    let order = &mut orders[turn];
                    while count >= 1 << j(*order) {
                        out.bit(1);
                        count -= 1 << j(*order);
                        *order = (*order + 1).min(31);
                    }
                    if x == width {
                        if count > 0 {
                            out.bit(1);
                        }
                        continue;
                    }
                    out.bit(0);
                    out.bits(count, j(*order));
                    for c in group {
                        let (ra, rb, ..) = around(*c, x as isize, rows);
                        let kind = usize::from(!by_sample && (ra - rb).abs() <= self.near);
                        let sample = rows[*c][y][x];
                        rows[*c][y][x] = self.run_end(&mut out, j(*order), kind, ra, rb, sample);
                    }
                    *order = order.saturating_sub(1);
                    x += 1;
                }
            }
        }
        out.finish()
    }
}

/// Encodes a picture; returns the stream and the pixels a decoder will have.
pub(super) fn encode(picture: &Picture) -> (Vec<u8>, Vec<u16>) {
    let Picture {
        width,
        height,
        channels,
        bits,
        ..
    } = *picture;
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xF7, 0, 8 + 3 * channels as u8, bits as u8];
    out.extend((height as u16).to_be_bytes());
    out.extend((width as u16).to_be_bytes());
    out.push(channels as u8);
    (1..=channels as u8).for_each(|id| out.extend([id, 0x11, 0]));
    if let Some(values) = picture.preset {
        out.extend([0xFF, 0xF8, 0, 13, 1]);
        values.iter().for_each(|value| out.extend(value.to_be_bytes()));
    }
    let mut rows: Vec<Vec<Vec<i32>>> = (0..channels)
        .map(|c| {
            let value = |x: usize, y: usize| i32::from(picture.pixels[(y * width + x) * channels + c]);
            (0..height)
                .map(|y| (0..width).map(|x| value(x, y)).collect())
                .collect()
        })
        .collect();
    let all: Vec<usize> = (0..channels).collect();
    let scans: Vec<Vec<usize>> = if picture.interleave == 0 {
        all.iter().map(|c| vec![*c]).collect()
    } else {
        vec![all]
    };
    for which in scans {
        out.extend([0xFF, 0xDA, 0, 6 + 2 * which.len() as u8, which.len() as u8]);
        which.iter().for_each(|c| out.extend([*c as u8 + 1, 0]));
        out.extend([picture.near as u8, picture.interleave, 0]);
        let by_sample = picture.interleave == 2 && channels > 1;
        out.extend(State::new(picture).scan(&mut rows, &which, by_sample));
    }
    out.extend([0xFF, 0xD9]);
    let pixels = (0..height * width * channels)
        .map(|i| rows[i % channels][i / channels / width][i / channels % width] as u16)
        .collect();
    (out, pixels)
}
