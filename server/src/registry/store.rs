//! One user's keys and values, in a table that grows and is freed a little at a time (LIFE-5).
//!
//! One large table would be moved as a whole whenever it is full, under the store's lock and on the worker's thread:
//! 100 ms for a million keys. So this is linear hashing (Litwin, 1980): many small tables, one of which is split in two
//! whenever there are too many keys for all of them. A put moves the keys of one small table at most.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::limits::Usage;

/// The average number of keys in a table at which the next one is split. Splitting takes a tenth of a millisecond; with
/// smaller tables a store of a million keys would have thousands.
const TABLE_KEYS: usize = 1024;

/// The lowest bit of a hash that selects the table. The bits below select an entry's place in its table, and the highest
/// bits are its tag there.
const TABLE_SHIFT: u32 = 24;

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    value: Box<str>,
}

/// Keys and their values.
#[derive(Debug, Default)]
pub(super) struct Entries {
    tables: Vec<HashTable<Entry>>,
    keys: usize,
    hasher: RandomState,
}

impl Entries {
    /// The value under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let hash = self.hasher.hash_one(key);
        let table = self.tables.get(table_of(hash, self.tables.len()))?;
        table.find(hash, |entry| *entry.key == *key).map(|entry| &*entry.value)
    }

    /// The value under `key`, to be replaced.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Box<str>> {
        let hash = self.hasher.hash_one(key);
        let at = table_of(hash, self.tables.len());
        let table = self.tables.get_mut(at)?;
        table.find_mut(hash, |entry| *entry.key == *key).map(|entry| &mut entry.value)
    }

    /// Adds a key that is not there yet.
    pub(super) fn insert(&mut self, key: Box<str>, value: Box<str>) {
        if self.keys >= self.tables.len() * TABLE_KEYS {
            self.add_table();
        }
        let Self { tables, keys, hasher } = self;
        let hash = hasher.hash_one(&*key);
        let at = table_of(hash, tables.len());
        tables[at].insert_unique(hash, Entry { key, value }, |entry| hasher.hash_one(&*entry.key));
        *keys += 1;
    }

    /// Adds a table, with its share of the keys of the table whose turn it is to be split.
    fn add_table(&mut self) {
        let count = self.tables.len();
        let Self { tables, hasher, .. } = self;
        if count == 0 {
            tables.push(HashTable::new());
            return;
        }
        // What is at `i` and at `i` plus a power of two was at `i` when there were fewer tables.
        let from = count - prev_power_of_two(count);
        let whole = std::mem::take(&mut tables[from]);
        let room = whole.len() / 2;
        let mut parts = [HashTable::with_capacity(room), HashTable::with_capacity(room)];
        for entry in whole {
            let hash = hasher.hash_one(&*entry.key);
            let part = usize::from(table_of(hash, count + 1) != from);
            parts[part].insert_unique(hash, entry, |entry| hasher.hash_one(&*entry.key));
        }
        let [stay, go] = parts;
        tables[from] = stay;
        tables.push(go);
    }

    /// Takes a small part of the entries out, to be freed when it is dropped; `None` if nothing is left. Only for a store
    /// whose session has ended, since the rest can no longer be looked up.
    pub(super) fn take_part(&mut self) -> Option<Part> {
        let part = Part(self.tables.pop()?);
        self.keys -= part.0.len();
        Some(part)
    }

    /// Whether all of it is one part.
    pub(super) fn is_small(&self) -> bool {
        self.tables.len() <= 1
    }
}

/// A part of a store whose session has ended.
#[derive(Debug)]
pub(super) struct Part(HashTable<Entry>);

impl Part {
    pub(super) fn usage(&self) -> Usage {
        let bytes = self.0.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
        Usage { keys: self.0.len(), bytes }
    }
}

/// The table, of `count`, that holds a hash's entry.
fn table_of(hash: u64, count: usize) -> usize {
    let bits = (hash >> TABLE_SHIFT) as usize;
    let wide = bits & (count.next_power_of_two() - 1);
    // If that table is not there yet, its entries are still in the one that it will be split from.
    if wide < count { wide } else { bits & (prev_power_of_two(count) - 1) }
}

/// The largest power of two up to `count`; 1 for 0.
fn prev_power_of_two(count: usize) -> usize {
    1 << count.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_5_no_put_moves_more_than_a_small_part_of_a_large_store() {
        const KEYS: usize = 200_000;
        let mut entries = Entries::default();
        let mut buckets = 0;
        for number in 0..KEYS {
            entries.insert(number.to_string().into(), "v".into());
            let largest = entries.tables.iter().map(HashTable::capacity).max();
            buckets = buckets.max(if number % 1000 == 0 { largest.unwrap() } else { 0 });
        }
        // A table that grows by itself moves as many keys as it has room for, and so does one that is split.
        assert!(buckets <= 8 * TABLE_KEYS, "room for {buckets} keys in one table");
        assert_eq!(entries.tables.len(), KEYS.div_ceil(TABLE_KEYS));
        for number in 0..KEYS {
            assert_eq!(entries.get(&number.to_string()), Some("v"), "{number}");
        }
        let mut keys = 0;
        while let Some(part) = entries.take_part() {
            assert!(part.usage().keys <= 4 * TABLE_KEYS);
            keys += part.usage().keys;
        }
        assert_eq!(keys, KEYS);
    }

    #[test]
    fn store_3_and_4_a_store_of_any_size_is_the_same_as_a_map() {
        let (mut entries, mut map) = (Entries::default(), std::collections::HashMap::new());
        assert_eq!(entries.get("0"), None);
        for step in 0..40_000_u64 {
            // Every third key is one of those before, and some are missing.
            let key = (if step % 3 == 2 { step / 2 } else { step }).to_string();
            let value: Box<str> = step.to_string().into();
            match entries.get_mut(&key) {
                Some(old) => *old = value.clone(),
                None => entries.insert(key.as_str().into(), value.clone()),
            }
            map.insert(key, value);
            let other = (step * 7 % 50_000).to_string();
            assert_eq!(entries.get(&other), map.get(&other).map(AsRef::as_ref), "{other} at {step}");
        }
        assert_eq!(entries.keys, map.len());
        assert!(map.iter().all(|(key, value)| entries.get(key) == Some(value)));
    }
}
