//! Commands that print a key or a secret.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// How long a command may take.
const TIME: Duration = Duration::from_secs(30);
/// The pause between two checks whether the command has ended.
const POLL: Duration = Duration::from_millis(5);

/// The output of a command of the shell, at most `most` bytes. A command that does not end in 30 seconds
/// is killed with its child processes.
///
/// # Errors
/// The command cannot be started, fails, prints too much or does not end in time. The text never holds
/// what it printed.
pub(crate) fn output_of(command: &str, most: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    output_within(command, TIME, most)
}

fn output_within(command: &str, time: Duration, most: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    let mut child = shell.spawn().map_err(|error| error.to_string())?;
    let output = child.stdout.take().expect("the output is a pipe");
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        // All of it from the beginning: a buffer that grows would leave copies.
        let mut text = Zeroizing::new(Vec::with_capacity(most + 1));
        // A command may print without end.
        let read = output.take(most as u64 + 1).read_to_end(&mut text);
        drop(send.send(read.map(|_| text)));
    });
    let begun = Instant::now();
    let read = receive.recv_timeout(time);
    let is_whole = matches!(&read, Ok(Ok(text)) if text.len() <= most);
    let mut ended = None;
    while is_whole && ended.is_none() && begun.elapsed() < time {
        ended = child.try_wait().map_err(|error| error.to_string())?;
        if ended.is_none() {
            std::thread::sleep(POLL);
        }
    }
    let Some(status) = ended else {
        end(&mut child);
        return Err(match read {
            Ok(Ok(_)) if !is_whole => format!("the command prints more than {most} bytes"),
            Ok(Err(error)) => error.to_string(),
            _ => format!("the command did not end within {} seconds", time.as_secs()),
        });
    };
    if !status.success() {
        return Err(format!("the command failed ({status})"));
    }
    match read {
        Ok(Ok(text)) => Ok(text),
        _ => Err("the command printed nothing".to_owned()),
    }
}

/// Kills a command and its child processes.
fn end(child: &mut Child) {
    // They are a process group of their own, which the standard library cannot kill.
    let mut killing = Command::new("sh");
    killing.args(["-c", &format!("kill -9 -{}", child.id())]);
    drop(killing.stderr(Stdio::null()).status());
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::output_within;

    const MOST: usize = 1 << 16;

    #[cfg(unix)]
    #[test]
    fn command_that_does_not_end_is_killed() {
        let begun = Instant::now();
        let time = Duration::from_millis(300);
        let folder = tempfile::tempdir().unwrap();
        // The child process of the last command keeps the pipe open.
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let mut both_ends = std::fs::OpenOptions::new();
        let both_ends = both_ends.read(true).write(true).open(&pipe).unwrap();
        for (command, problem) in [
            ("sleep 60", "the command did not end within"),
            ("echo abc; sleep 60", "the command did not end within"),
            ("exec >&-; sleep 60", "the command did not end within"),
            ("sleep 60 & wait", "the command did not end within"),
            ("yes", "the command prints more than"),
            (
                &format!("(sleep 60) 3>{} & wait", pipe.display()),
                "the command did not end within",
            ),
        ] {
            let refused = output_within(command, time, MOST).unwrap_err();
            assert!(refused.contains(problem), "{command}: {refused}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        let mut reading = std::fs::File::open(&pipe).unwrap();
        drop(both_ends);
        let (end, is_over) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = end.send(std::io::Read::read(&mut reading, &mut [0]).unwrap());
        });
        let ended = is_over.recv_timeout(Duration::from_secs(20));
        assert_eq!(ended, Ok(0), "a child process was not killed");
        let output = output_within("cat", time, MOST).unwrap();
        assert!(output.is_empty(), "the command waits for input");
    }

    #[test]
    fn output_has_the_allowed_length_at_most() {
        let time = Duration::from_secs(20);
        assert_eq!(*output_within("printf abc", time, 3).unwrap(), *b"abc");
        let refused = output_within("printf abcd", time, 3).unwrap_err();
        assert_eq!(refused, "the command prints more than 3 bytes");
        let refused = output_within("printf hidden; exit 3", time, 20).unwrap_err();
        assert!(
            refused.contains("failed") && !refused.contains("hidden"),
            "{refused}"
        );
    }
}
