//! What the targets share: a file of any bytes, read twice, in pieces of different size.

use std::io::Write;
use std::path::Path;

use rollbook_read::{Reader, SourceFile};

/// Reads `bytes` as a file of that name. Where the reader's own pieces begin and end must not
/// matter: the rows and what is refused are the same in pieces of `chunk` bytes.
pub fn read(name: &str, bytes: &[u8], chunk: usize) {
    let folder = Path::new("/dev/shm");
    let folder = match folder.is_dir() {
        true => tempfile::tempdir_in(folder),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder for the file");
    let path = folder.path().join(name);
    let mut file = std::fs::File::create(&path).expect("the file is made");
    file.write_all(bytes).expect("the file is written");
    let Ok(source) = SourceFile::labelled(&path, name.to_owned()) else {
        return;
    };
    let whole = rows(&source, None);
    let pieces = rows(&source, Some(chunk.max(1)));
    assert_eq!(whole, pieces);
}

/// All rows and all that is refused, or what is wrong with the file, as text.
fn rows(source: &SourceFile, chunk: Option<usize>) -> String {
    let reader = match chunk {
        None => Reader::open(source, 64),
        Some(chunk) => Reader::open_in_chunks(source, 64, chunk),
    };
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return error.to_string(),
    };
    let (mut read, mut refused) = (String::new(), Vec::new());
    loop {
        match reader.next_batch(&mut refused) {
            Ok(Some(batch)) => {
                for row in 0..batch.num_rows() {
                    read += &format!("{:?}\n", batch.slice(row, 1).columns());
                }
            }
            Ok(None) => break,
            Err(error) => {
                read += &error.to_string();
                break;
            }
        }
    }
    format!("{read}{refused:?}")
}
