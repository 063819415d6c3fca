//! Random bytes that are the same each time (xorshift64*).

/// A source of them.
pub(crate) struct Noise(u64);

impl Noise {
    /// Each seed is another source.
    pub(crate) fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    /// One of these.
    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// At most so many bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next() as u8).collect()
    }

    /// The same with some bytes changed, gone, doubled or cut off.
    pub(crate) fn spoil(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut spoilt = bytes.to_owned();
        for _ in 0..=self.below(4) {
            let at = self.below(spoilt.len());
            match self.below(5) {
                0 => spoilt.truncate(at),
                1 if at < spoilt.len() => spoilt[at] = self.next() as u8,
                2 if at < spoilt.len() => drop(spoilt.remove(at)),
                3 => spoilt.insert(at, self.next() as u8),
                _ => {
                    let end = at + self.below(spoilt.len() - at.min(spoilt.len()) + 1);
                    let part = spoilt[at..end.min(spoilt.len())].to_owned();
                    spoilt.splice(at..at, part);
                }
            }
        }
        spoilt
    }

    /// The same in pieces, as a network may deliver it.
    pub(crate) fn pieces(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + self.below(rest.len()));
            pieces.push(piece.to_owned());
            rest = after;
        }
        pieces
    }
}
