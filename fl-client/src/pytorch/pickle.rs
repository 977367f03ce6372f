//! The part of Python's pickles that state dictionaries are written in.
//!
//! In: bytes. Out: a [`Pickle`] of plain values. Start at [`Pickle::read`]. Nothing is called: a class or function is a
//! name, and a name that is not one of those known is an error. Values live in one list and refer to each other by place,
//! so that neither depth nor sharing costs anything.
//!
//! The instructions are those of protocols 2 to 5, as in the documentation of Python's `pickletools`.

use std::collections::BTreeMap;

use super::{Kind, storage_kind};

/// A small value, or the place of a larger one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Int(i64),
    At(usize),
}

/// What the values of a tensor are part of.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// Its name in the file.
    pub(super) key: String,
    pub(super) kind: Kind,
    /// Of one value.
    pub(super) bytes: usize,
    /// Number of values.
    pub(super) count: usize,
}

/// A larger value.
#[derive(Debug)]
pub(super) enum Item {
    Text(String),
    /// Module and name, a space between them.
    Name(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor {
        storage: Value,
        offset: usize,
        shape: Vec<usize>,
    },
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    items: Vec<Item>,
    root: Value,
}

type Outcome<T> = Result<T, String>;

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    items: Vec<Item>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<usize, Value>,
}

impl Pickle {
    /// The values of the pickle that `bytes` start with, and its length.
    pub(super) fn read(bytes: &[u8]) -> Outcome<(Self, usize)> {
        let mut machine = Machine {
            bytes,
            at: 0,
            items: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        while machine.step()? {}
        let root = machine.pop()?;
        let pickle = Self {
            items: machine.items,
            root,
        };
        Ok((pickle, machine.at))
    }

    pub(super) fn root(&self) -> Value {
        self.root
    }

    pub(super) fn item(&self, value: Value) -> Option<&Item> {
        match value {
            Value::At(place) => self.items.get(place),
            Value::None | Value::Int(_) => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.item(value)? {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let list = match self.item(self.root) {
            Some(Item::List(list)) => list.as_slice(),
            _ => &[],
        };
        list.iter().filter_map(|value| self.text(*value))
    }

    /// Every storage by its name.
    pub(super) fn storages(&self) -> BTreeMap<&str, &Storage> {
        let storages = self.items.iter().filter_map(|item| match item {
            Item::Storage(storage) => Some((storage.key.as_str(), storage)),
            _ => None,
        });
        storages.collect()
    }
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let taken = self.bytes[self.at..]
            .get(..count)
            .ok_or("its pickle is cut short")?;
        self.at += count;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(*bytes.first_chunk().ok_or("its pickle is cut short")?)
    }

    fn byte(&mut self) -> Outcome<usize> {
        Ok(usize::from(self.number::<1>()?[0]))
    }

    fn four(&mut self) -> Outcome<usize> {
        Ok(u32::from_le_bytes(self.number()?) as usize)
    }

    fn text(&mut self, count: usize) -> Outcome<()> {
        let text = std::str::from_utf8(self.take(count)?).map_err(|_| "a text in its pickle is not UTF-8")?;
        self.make(Item::Text(text.to_owned()));
        Ok(())
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("its pickle is cut short")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| "a name in its pickle is not UTF-8".to_owned())
    }

    fn make(&mut self, item: Item) {
        self.items.push(item);
        self.stack.push(Value::At(self.items.len() - 1));
    }

    fn pop(&mut self) -> Outcome<Value> {
        // What lies below a mark belongs to an instruction to come.
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor {
            self.stack.pop()
        } else {
            None
        };
        value.ok_or_else(|| "its pickle takes a value that is not there".to_owned())
    }

    fn top(&self) -> Outcome<Value> {
        let value = self.stack.last().copied();
        value.ok_or_else(|| "its pickle takes a value that is not there".to_owned())
    }

    fn since_mark(&mut self) -> Outcome<Vec<Value>> {
        let mark = self
            .marks
            .pop()
            .ok_or("its pickle takes a mark that is not there")?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, count: usize) -> Outcome<()> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Outcome<Vec<_>>>()?;
        values.reverse();
        self.make(Item::Tuple(values));
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Outcome<()> {
        let value = self.memo.get(&place).copied();
        self.stack
            .push(value.ok_or("its pickle recalls a value that it did not keep")?);
        Ok(())
    }

    /// One instruction; false at the last.
    fn step(&mut self) -> Outcome<bool> {
        let instruction = self.byte()? as u8;
        match instruction {
            0x80 => _ = self.byte()?,
            0x95 => _ = self.number::<8>()?,
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Int(1)),
            0x89 => self.stack.push(Value::Int(0)),
            b'K' => {
                let value = self.byte()?;
                self.stack.push(Value::Int(value as i64));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.number()?);
                self.stack.push(Value::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.number()?);
                self.stack.push(Value::Int(value.into()));
            }
            0x8a => self.long()?,
            b'X' => {
                let count = self.four()?;
                self.text(count)?;
            }
            0x8c => {
                let count = self.byte()?;
                self.text(count)?;
            }
            b'}' => self.make(Item::Dict(Vec::new())),
            b']' => self.make(Item::List(Vec::new())),
            b')' => self.make(Item::Tuple(Vec::new())),
            0x85..=0x87 => self.tuple(usize::from(instruction - 0x84))?,
            b't' => {
                let values = self.since_mark()?;
                self.make(Item::Tuple(values));
            }
            b'q' => {
                let place = self.byte()?;
                self.memo.insert(place, self.top()?);
            }
            b'r' => {
                let place = self.four()?;
                self.memo.insert(place, self.top()?);
            }
            0x94 => _ = self.memo.insert(self.memo.len(), self.top()?),
            b'h' => {
                let place = self.byte()?;
                self.recall(place)?;
            }
            b'j' => {
                let place = self.four()?;
                self.recall(place)?;
            }
            b'c' => {
                let name = format!("{} {}", self.line()?, self.line()?);
                self.make(Item::Name(name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |value| match self.item(value) {
                    Some(Item::Text(text)) => Ok(text.as_str()),
                    _ => Err("a name in its pickle is no text"),
                };
                let name = format!("{} {}", text(module)?, text(name)?);
                self.make(Item::Name(name));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend(vec![key, value])?;
            }
            b'a' => {
                let value = self.pop()?;
                self.extend(vec![value])?;
            }
            b'u' | b'e' => {
                let values = self.since_mark()?;
                self.extend(values)?;
            }
            // The state of a dictionary is what PyTorch notes of module versions.
            b'b' => _ = self.pop()?,
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            other => {
                return Err(format!(
                    "its pickle has instruction {other:#04x}, which is not read"
                ));
            }
        }
        Ok(true)
    }

    fn item(&self, value: Value) -> Option<&Item> {
        match value {
            Value::At(place) => self.items.get(place),
            Value::None | Value::Int(_) => None,
        }
    }

    /// An integer of up to eight bytes; of longer ones, which no size has, nothing is kept.
    fn long(&mut self) -> Outcome<()> {
        let count = self.byte()?;
        let bytes = self.take(count)?;
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        self.stack.push(if count <= 8 {
            wide[..count].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(wide))
        } else {
            Value::None
        });
        Ok(())
    }

    /// Puts values into the list or dictionary on top of the stack.
    fn extend(&mut self, values: Vec<Value>) -> Outcome<()> {
        let place = match self.top()? {
            Value::At(place) => place,
            Value::None | Value::Int(_) => usize::MAX,
        };
        match self.items.get_mut(place) {
            Some(Item::List(list)) => list.extend(values),
            Some(Item::Dict(pairs)) => {
                pairs.extend(
                    values
                        .as_chunks::<2>()
                        .0
                        .iter()
                        .map(|[key, value]| (*key, *value)),
                );
            }
            _ => return Err("its pickle adds to what is neither list nor dictionary".to_owned()),
        }
        Ok(())
    }

    fn pieces(&self, value: Value) -> &[Value] {
        match self.item(value) {
            Some(Item::Tuple(values)) => values,
            _ => &[],
        }
    }

    /// `("storage", class, key, device, count, ..)`.
    fn persistent(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let unknown = || "its pickle refers to something that is not a storage".to_owned();
        let &[_, class, key, _, Value::Int(count), ..] = self.pieces(id) else {
            return Err(unknown());
        };
        let (Some(Item::Name(class)), Some(Item::Text(key))) = (self.item(class), self.item(key)) else {
            return Err(unknown());
        };
        let (kind, bytes) = storage_kind(class)
            .ok_or_else(|| format!("its pickle has values of `{class}`, which are not read"))?;
        let storage = Storage {
            key: key.clone(),
            kind,
            bytes,
            count: usize::try_from(count).map_err(|_| unknown())?,
        };
        self.make(Item::Storage(storage));
        Ok(())
    }

    /// What a known function would make of its arguments.
    fn reduce(&mut self) -> Outcome<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Some(Item::Name(name)) = self.item(function) else {
            return Err("its pickle calls what is no function".to_owned());
        };
        match name.as_str() {
            "collections OrderedDict" => self.make(Item::Dict(Vec::new())),
            "torch._utils _rebuild_parameter" => {
                let tensor = self.pieces(arguments).first().copied();
                self.stack
                    .push(tensor.ok_or("a parameter in its pickle has no tensor")?);
            }
            "torch._utils _rebuild_tensor_v2" => {
                let tensor = self.tensor(arguments)?;
                self.make(tensor);
            }
            other => {
                let name = other.replace(' ', ".");
                return Err(format!(
                    "its pickle calls `{name}`; only dictionaries of tensors are read"
                ));
            }
        }
        Ok(())
    }

    /// `(storage, offset, shape, strides, ..)`, in row-major order.
    fn tensor(&self, arguments: Value) -> Outcome<Item> {
        let wrong = || "a tensor in its pickle is not described as PyTorch does".to_owned();
        let &[storage, Value::Int(offset), shape, strides, ..] = self.pieces(arguments) else {
            return Err(wrong());
        };
        let sizes = |value| {
            let size = |value: &Value| match value {
                Value::Int(size) => usize::try_from(*size).map_err(|_| wrong()),
                Value::None | Value::At(_) => Err(wrong()),
            };
            self.pieces(value).iter().map(size).collect::<Outcome<Vec<_>>>()
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        let mut expected = 1usize;
        for (size, stride) in shape.iter().zip(&strides).rev() {
            if *size != 1 && *stride != expected {
                return Err(
                    "a tensor in its pickle is not stored row by row; save it after `.contiguous()`"
                        .to_owned(),
                );
            }
            expected = expected.checked_mul(*size).ok_or_else(wrong)?;
        }
        if shape.len() != strides.len() {
            return Err(wrong());
        }
        Ok(Item::Tensor {
            storage,
            offset: usize::try_from(offset).map_err(|_| wrong())?,
            shape,
        })
    }
}
