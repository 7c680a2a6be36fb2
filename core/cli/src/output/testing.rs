//! For tests of forms: a console that is read afterwards.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use crate::console::Console;

/// A pipe of so many columns.
pub(crate) fn console(width: usize) -> Console {
    let (out, err) = (Box::new(io::sink()), Box::new(io::sink()));
    Console { out, err, out_is_tty: false, err_is_tty: false, color: false, width, height: 24, utf8: true }
}

/// What is printed to such a console: data, then messages.
pub(crate) fn written(print: impl FnOnce(&mut Console) -> io::Result<()>, mut console: Console) -> String {
    let text = Text::default();
    console.out = Box::new(text.clone());
    console.err = Box::new(text.clone());
    print(&mut console).expect("memory takes everything");
    String::from_utf8(text.0.take()).expect("UTF-8")
}

#[derive(Clone, Default)]
struct Text(Rc<RefCell<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
