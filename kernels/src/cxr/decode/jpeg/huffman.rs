//! Huffman codes (T.81 Annex C, F.2.2.3), looked up several bits at a time.
//!
//! In: the list of a DHT segment. Out: [`Table`], which tells the bits of a symbol and of the number behind it by one
//! look-up; [`Skips`], which tells those of several symbols.

use super::{FORMAT, bits::Bits, invalid};
use crate::cxr::decode::DecodeError;

/// Bits of a look-up in a [`Table`]. Codes that are longer are rare, and searched for.
const LOOKUP: u32 = 11;

/// Bits of a look-up in [`Skips`].
const SKIP: u32 = 12;

/// What the run of an end of block is shown as: past any block.
pub(super) const END_OF_BLOCK: u32 = 64;

/// The same in [`Skips`], where coefficients before it count too.
const END: u32 = 128;

/// A code as a DHT segment lists it (T.81 B.2.4.2): proven to have a prefix for each symbol.
#[derive(Clone)]
pub(super) struct Code {
    /// How many symbols have a prefix of 1 to 16 bits.
    counts: [u8; 16],
    /// The symbols, shortest prefix first.
    symbols: Vec<u8>,
}

/// What the symbols of a code mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Bits of a difference, 0 to 16 (T.81 H.1.2.2).
    Lossless,
    /// Bits of a DC difference, 0 to 15 (T.81 F.1.2.1).
    Dc,
    /// Zeros and bits of an AC coefficient (T.81 F.1.2.2).
    Ac,
}

/// One symbol: how many bits it and its number take together (bits 0 to 7), it alone (8 to 15), the number alone (16 to
/// 23), and zeros before the coefficient (24 to 31). 0 where there is no such code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol(u32);

impl Code {
    /// Reads the list.
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Result<Self, DecodeError> {
        let mut free = 1_u32;
        for (count, length) in counts.iter().zip(1..) {
            let next = 2 * free;
            free = next
                .checked_sub(u32::from(*count))
                .ok_or_else(|| DecodeError::Invalid {
                    format: FORMAT,
                    what: format!("a Huffman table of {count} codes of {length} bits, where {next} are free"),
                })?;
        }
        Ok(Self {
            counts,
            symbols: symbols.to_vec(),
        })
    }

    /// Every symbol's prefix, at the top of 16 bits, and its length, in order.
    fn prefixes(&self) -> impl Iterator<Item = (u8, u32, u32)> {
        let lengths = (1_u32..).zip(&self.counts);
        let lengths = lengths.flat_map(|(length, count)| std::iter::repeat_n(length, usize::from(*count)));
        let mut next = 0_u32;
        self.symbols.iter().zip(lengths).map(move |(symbol, length)| {
            let prefix = next;
            next += 1 << (16 - length);
            (*symbol, prefix, length)
        })
    }
}

impl Symbol {
    fn new(symbol: u8, length: u32, alphabet: Alphabet) -> Result<Self, DecodeError> {
        let symbol = u32::from(symbol);
        let (run, size) = match alphabet {
            Alphabet::Lossless if symbol <= 16 => (0, symbol),
            Alphabet::Dc if symbol <= 15 => (0, symbol),
            Alphabet::Ac if symbol == 0 => (END_OF_BLOCK, 0),
            // Sixteen zeros are fifteen and a coefficient of 0; other runs of nothing belong to progressive scans.
            Alphabet::Ac if symbol & 15 != 0 || symbol == 0xF0 => (symbol >> 4, symbol & 15),
            _ => {
                return invalid(format!(
                    "symbol {symbol:#04X} in a Huffman table that may not have it"
                ));
            }
        };
        // 16 stands for a difference of 32768, without bits of its own.
        let total = if size == 16 { length } else { length + size };
        Ok(Self(total | length << 8 | size << 16 | run << 24))
    }

    /// Bits of code and number together.
    #[inline(always)]
    pub(super) fn total(self) -> u32 {
        self.0 & 0xFF
    }

    /// Zeros before the coefficient, or [`END_OF_BLOCK`].
    #[inline(always)]
    pub(super) fn run(self) -> u32 {
        self.0 >> 24
    }

    /// Bits of the code alone.
    fn length(self) -> u32 {
        (self.0 >> 8) & 0xFF
    }

    /// Bits of the number alone; 16 says 32768.
    fn size(self) -> u32 {
        (self.0 >> 16) & 0xFF
    }

    /// The number behind the code, where `bits` begin with the code (T.81 F.2.2.1, EXTEND).
    #[inline(always)]
    pub(super) fn number(self, bits: u64) -> i32 {
        // Shifts look at the lowest six bits only.
        let number = bits.wrapping_shl(self.0 >> 8);
        let size = (self.0 >> 16) & 0x1F;
        // A first bit of 0 says that it is negative: one more than the inverse of its bits.
        let sign = ((number as i64) >> 63) as i32;
        let bits = ((number >> 1) >> (63 - size)) as i32;
        bits - (!sign & ((1 << size) - 1))
    }
}

/// A code, ready for decoding.
pub(super) struct Table {
    lookup: Box<[Symbol; 1 << LOOKUP]>,
    /// Every symbol after its prefix at the top of 16 bits, in order.
    all: Vec<(u32, Symbol)>,
    /// One past the last prefix.
    end: u32,
    /// The most bits that a symbol and its number take.
    pub(super) most: u32,
}

impl Table {
    pub(super) fn new(code: &Code, alphabet: Alphabet) -> Result<Self, DecodeError> {
        let mut lookup = Box::new([Symbol(0); 1 << LOOKUP]);
        let mut all = Vec::with_capacity(code.symbols.len());
        let (mut end, mut most) = (0, 0);
        for (symbol, prefix, length) in code.prefixes() {
            let symbol = Symbol::new(symbol, length, alphabet)?;
            all.push((prefix, symbol));
            end = prefix + (1 << (16 - length));
            most = most.max(symbol.total());
            // 32768 is left to the search.
            if length <= LOOKUP && symbol.size() < 16 {
                let first = (prefix >> (16 - LOOKUP)) as usize;
                lookup[first..first + (1 << (LOOKUP - length))].fill(symbol);
            }
        }
        Ok(Self {
            lookup,
            all,
            end,
            most,
        })
    }

    /// The symbol that `bits` begin with, unless it must be searched for: then [`None`].
    #[inline(always)]
    pub(super) fn short(&self, bits: u64) -> Option<Symbol> {
        let symbol = self.lookup[(bits >> (64 - LOOKUP)) as usize];
        (symbol.0 != 0).then_some(symbol)
    }

    /// The same for any symbol; [`None`] if there is no such code.
    #[cold]
    #[inline(never)]
    pub(super) fn search(&self, bits: u64) -> Option<Symbol> {
        let bits = (bits >> 48) as u32;
        let after = self.all.partition_point(|(prefix, _)| *prefix <= bits);
        let (_, symbol) = self.all.get(after.checked_sub(1)?)?;
        (bits < self.end).then_some(*symbol)
    }

    /// Takes a symbol and the number behind it; [`None`] if there is no such code. [`Table::most`] bits must be ready.
    #[inline(always)]
    pub(super) fn take(&self, bits: &mut Bits<'_>) -> Option<(u32, i32)> {
        let next = bits.peek();
        let symbol = match self.short(next) {
            Some(symbol) => symbol,
            None => {
                let symbol = self.search(next)?;
                if symbol.size() == 16 {
                    bits.skip(symbol.total());
                    return Some((0, 1 << 15));
                }
                symbol
            }
        };
        bits.skip_word(symbol.0);
        Some((symbol.run(), symbol.number(next)))
    }
}

/// How far to go to pass AC coefficients: as many symbols at once as a look-up sees.
///
/// An entry has the bits of several symbols with their numbers (bits 0 to 7), the coefficients they stand for (8 to 15),
/// and the same of the first symbol alone (16 to 23, 24 to 31).
pub(super) struct Skips {
    lookup: Box<[u32; 1 << SKIP]>,
}

impl Skips {
    pub(super) fn new(table: &Table) -> Self {
        let mut lookup = Box::new([0; 1 << SKIP]);
        for (index, entry) in lookup.iter_mut().enumerate() {
            let window = (index as u64) << (64 - SKIP);
            let (mut bits, mut coefficients) = (0, 0);
            // A prefix must be seen whole; the number of the last symbol need not be.
            while bits < SKIP && coefficients < 64 {
                let rest = window << bits;
                let Some(symbol) = table.short(rest).filter(|symbol| symbol.length() <= SKIP - bits) else {
                    break;
                };
                let more = match symbol.run() {
                    END_OF_BLOCK => END,
                    run => run + 1,
                };
                bits += symbol.total();
                coefficients += more;
                if *entry == 0 {
                    *entry = bits << 16 | coefficients << 24;
                }
            }
            *entry |= bits | coefficients << 8;
        }
        Self { lookup }
    }

    /// Passes all AC coefficients of a block; whether there were 63 or an end.
    #[inline(always)]
    pub(super) fn block(&self, table: &Table, bits: &mut Bits<'_>) -> bool {
        let mut coefficients = 1_u32;
        loop {
            bits.refill();
            let next = bits.peek();
            let entry = self.lookup[(next >> (64 - SKIP)) as usize];
            let all = coefficients + ((entry >> 8) & 0xFF);
            if all < 64 && entry != 0 {
                bits.skip_word(entry);
                coefficients = all;
                continue;
            }
            // An end is not written after the last coefficient: one seen there belongs to the next block.
            if all == 64 || (END..END + 64).contains(&all) {
                bits.skip(entry & 0xFF);
                return true;
            }
            let (length, more) = if entry != 0 {
                ((entry >> 16) & 0xFF, entry >> 24)
            } else {
                let Some(symbol) = table.search(next) else {
                    return false;
                };
                let run = symbol.run();
                let more = if run == END_OF_BLOCK { END } else { run + 1 };
                (symbol.total(), more)
            };
            bits.skip(length);
            coefficients += more;
            if coefficients >= END || coefficients == 64 {
                return true;
            }
            if coefficients > 64 {
                return false;
            }
        }
    }
}
