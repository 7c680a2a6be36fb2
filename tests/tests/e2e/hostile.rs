//! Whoever speaks nonsense gets a defined answer, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;

use sereno_tests::client::{BAD_FORMAT, OK, connect, send, status, values};
use sereno_tests::server::Folder;

fn works(address: SocketAddr) {
    assert_eq!(send(&mut connect(address, 1), b"good", 7).unwrap(), OK);
    assert!(values(address, b"good").ends_with(&[7.0]));
}

fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() && entry.file_name() != "data" {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn hostile_ids_are_answered_and_make_no_file() {
    let folder = Folder::new(&[], "");
    let mut server = folder.start();
    let before = tree(&folder.path(""));
    for id in [b"../x".as_slice(), b"/etc/passwd", "ñandú".repeat(3).as_bytes(), &[b'x'; 27], b"a b", b"{\""]
    {
        let mut stream = connect(server.address, 1);
        assert_eq!(send(&mut stream, id, 5).unwrap(), OK, "{id:?}");
        assert_eq!(values(server.address, id), [5.0], "{id:?}");
    }
    for id in [b"".as_slice(), b"a\0b", b"a\nb", &[0xff, 0xfe], &[0xc3]] {
        let mut stream = connect(server.address, 1);
        assert_eq!(send(&mut stream, id, 5).unwrap(), BAD_FORMAT, "{id:?}");
        assert!(status(&mut stream).is_err(), "the server closes after {id:?}");
    }
    let mut stream = connect(server.address, 1);
    stream.write_all(&[&[28], [b'x'; 31].as_slice()].concat()).unwrap();
    assert_eq!(status(&mut stream).unwrap(), BAD_FORMAT, "a length beyond the field");
    assert_eq!(tree(&folder.path("")), before, "no file outside of the data directory");
    assert!(server.is_running());
}

#[test]
fn silent_and_broken_connections_hold_up_nobody() {
    let folder = Folder::new(&[], "");
    let mut server = folder.start();
    let address = server.address;
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let idle: Vec<_> =
        [1, 2, 3].into_iter().flat_map(|i| (0..20).map(move |_| i)).map(|i| connect(address, i)).collect();
    for _ in 0..100 {
        drop(TcpStream::connect(address).unwrap());
    }
    for cut in 0..4 {
        TcpStream::connect(address).unwrap().write_all(&1_i32.to_be_bytes()[..cut]).unwrap();
    }
    for intention in [1, 2] {
        let mut stream = connect(address, intention);
        stream.write_all(&[3, b'f', b'o']).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "half a record is no record");
    }
    for intention in [0, 99, -1] {
        let mut stream = connect(address, intention);
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "intention {intention} is closed");
    }
    // A session that does not say Hello is told so; what it is told is a frame of less than 128 bytes.
    let mut told = Vec::new();
    connect(address, 4).read_to_end(&mut told).unwrap();
    assert_eq!(told.first().map(|length| usize::from(*length) + 1), Some(told.len()), "{told:?}");
    works(address);
    drop((silent, idle));
    works(address);
    assert!(server.is_running());
    let panics: Vec<_> = server.log().into_iter().filter(|line| line.contains("panic")).collect();
    assert_eq!(panics, [""; 0]);
}
