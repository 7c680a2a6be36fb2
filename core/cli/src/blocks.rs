//! Lines out of a stream, in blocks: a thread reads while the lines of the block before are understood.
//!
//! Invariants:
//! * a block holds whole lines, so no line is copied but the one that a read cut;
//! * what a read brings is passed on at once: whoever writes a line into a pipe sees it sent;
//! * memory is bounded: a few blocks, and no line longer than [`LINE_BYTES_MAX`].

use std::io::{self, Read};

use sereno_runtime::threads;
use tokio::sync::mpsc;

/// The room of a block. It is twice what the read before brought, since room costs to be cleared: a pipe brings 64 KiB, a
/// file as much as it is asked for.
const BLOCK_BYTES_MIN: usize = 64 << 10;
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// The longest line, with its end.
pub(crate) const LINE_BYTES_MAX: usize = BLOCK_BYTES_MAX;
/// Blocks that wait to be understood.
const WAITING: usize = 4;

/// What comes out of a stream.
#[derive(Debug)]
pub(crate) enum Block {
    /// Whole lines with their ends; the very last one may lack its own.
    Lines(Vec<u8>),
    /// A line that is longer than [`LINE_BYTES_MAX`], left out.
    TooLong,
    /// Nothing more comes.
    Failed(io::Error),
}

/// Reads `input` to its end on a thread of its own. The thread is not joined: a read of a terminal or a pipe may never
/// return, and ends with the process.
///
/// # Errors
/// The system refuses another thread.
pub(crate) fn read(input: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Block>> {
    let (blocks, received) = mpsc::channel(WAITING);
    threads::spawn("lines", threads::STACK_BYTES, move || {
        let mut pass = |block| blocks.blocking_send(block).is_ok();
        if let Err(error) = split(input, &mut pass) {
            pass(Block::Failed(error));
        }
    })?;
    Ok(received)
}

/// Passes on the blocks of `input` until its end, or until nobody wants them: `pass` says whether somebody does.
fn split(mut input: impl Read, pass: &mut dyn FnMut(Block) -> bool) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES_MIN];
    let (mut filled, mut too_long) = (0, false);
    loop {
        let count = match input.read(&mut block[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            break;
        }
        let end = memchr::memrchr(b'\n', &block[filled..filled + count]).map(|place| filled + place + 1);
        filled += count;
        match end {
            Some(end) => {
                let start = if too_long { after_first_line(&block) } else { 0 };
                if too_long && !pass(Block::TooLong) {
                    return Ok(());
                }
                let mut next = vec![0; (2 * filled).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)];
                next[..filled - end].copy_from_slice(&block[end..filled]);
                block.truncate(end);
                block.drain(..start);
                if !block.is_empty() && !pass(Block::Lines(block)) {
                    return Ok(());
                }
                (block, filled, too_long) = (next, filled - end, false);
            }
            None if too_long || filled == LINE_BYTES_MAX => (filled, too_long) = (0, true),
            None if filled == block.len() => block.resize((2 * filled).min(LINE_BYTES_MAX), 0),
            None => {}
        }
    }
    block.truncate(filled);
    match (too_long, block.is_empty()) {
        (true, _) => pass(Block::TooLong),
        (false, false) => pass(Block::Lines(block)),
        (false, true) => true,
    };
    Ok(())
}

fn after_first_line(block: &[u8]) -> usize {
    memchr::memchr(b'\n', block).map_or(block.len(), |place| place + 1)
}

/// The lines of a block, without their ends.
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A stream that gives a few bytes at a time.
    struct Trickle<'a> {
        bytes: &'a [u8],
        steps: Vec<usize>,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let step = self.steps.pop().unwrap_or(usize::MAX).min(buffer.len()).min(self.bytes.len());
            buffer[..step].copy_from_slice(&self.bytes[..step]);
            self.bytes = &self.bytes[step..];
            Ok(step)
        }
    }

    /// The lines that came out; `None` is one that was too long.
    fn lines_of(input: impl Read) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::new();
        let mut pass = |block| {
            match block {
                Block::Lines(block) => found.extend(lines(&block).map(|line| Some(line.to_vec()))),
                Block::TooLong => found.push(None),
                Block::Failed(error) => panic!("{error}"),
            }
            true
        };
        split(input, &mut pass).unwrap();
        found
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in(
            text in "[a\n]{0,60}",
            steps in proptest::collection::vec(1_usize..10, 0..30),
        ) {
            let found = lines_of(Trickle { bytes: text.as_bytes(), steps });
            let wanted: Vec<_> = text.lines().map(|line| Some(line.as_bytes().to_vec())).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_alone() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let line = |text: &str| Some(text.as_bytes().to_vec());
        for steps in [Vec::new(), vec![4_096; 100]] {
            let text = format!("first\n{long}\nsecond\nthird");
            let found = lines_of(Trickle { bytes: text.as_bytes(), steps: steps.clone() });
            assert_eq!(found, [line("first"), None, line("second"), line("third")]);
            let found = lines_of(Trickle { bytes: long.as_bytes(), steps });
            assert_eq!(found, [None]);
        }
        let fits = "x".repeat(LINE_BYTES_MAX - 1);
        assert_eq!(lines_of(format!("{fits}\ny").as_bytes()), [line(&fits), line("y")]);
    }

    #[test]
    fn a_line_is_passed_on_before_the_next_comes() {
        let mut seen = Vec::new();
        let input = Trickle { bytes: b"one\ntw", steps: vec![2, 4] };
        let pass = &mut |block: Block| {
            seen.push(format!("{block:?}").len());
            false
        };
        split(input, pass).unwrap();
        assert_eq!(seen.len(), 1, "nobody wants more after the first block");
    }
}
