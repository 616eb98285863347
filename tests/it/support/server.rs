//! A server on a lake of its own, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::openapi;
use super::own_lake::OwnLake;

/// A running server, which is killed on drop unless it was stopped.
pub(crate) struct Server {
    child: Child,
    /// Its address and port.
    pub(crate) address: String,
    agent: ureq::Agent,
    said: Vec<String>,
    log: Arc<Mutex<Vec<String>>>,
}

/// An answer with its whole body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header as text; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }
}

impl Server {
    /// Serves the lake's tenant on a free port, without a limit on calls.
    pub(crate) fn start(lake: &OwnLake, tenant: &str) -> Self {
        let unlimited = ["--rate-limit", "0"];
        let serve = ["--tenant", tenant, "serve", "--listen", "127.0.0.1:0"];
        Self::start_with(lake.command(&[&serve[..], &unlimited].concat()))
    }

    /// Serves with a command given by the caller.
    pub(crate) fn start_with(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("no server: {said:?}"));
            let line = line.unwrap();
            let url = line.split_once("http://");
            let url = url.or_else(|| line.split_once("https://"));
            let address = url.map(|(_, address)| address.trim().to_owned());
            said.push(line);
            if let Some(address) = address {
                break address;
            }
        };
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A request refused before its body was read leaves a closed connection: take a new one.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(120)));
        let agent = config.build().into();
        Self {
            child,
            address,
            agent,
            said,
            log,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Gets a path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.documented("GET", path, read(self.agent.get(self.url(path)).call()))
    }

    /// Gets a path with further headers.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call())
    }

    /// Deletes a path.
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.documented(
            "DELETE",
            path,
            read(self.agent.delete(self.url(path)).call()),
        )
    }

    /// Sends a request with an API key, if one is given, and with a body, given its content type.
    pub(crate) fn ask(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<(&str, &str)>,
    ) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: Vec<_> = bearer.into_iter().collect();
        self.ask_with(&headers, method, path, body)
    }

    /// The same with any headers.
    pub(crate) fn ask_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<(&str, &str)>,
    ) -> Answer {
        let (kind, text) = body.unwrap_or_default();
        if ["POST", "PUT"].contains(&method) {
            return self.send_text(method, path, kind, headers, text);
        }
        let mut request = match method {
            "DELETE" => self.agent.delete(self.url(path)),
            _ => self.agent.get(self.url(path)),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.documented(method, path, read(request.call()))
    }

    /// Reads an answer, and checks that the document describes it.
    fn documented(&self, method: &str, path: &str, answer: Answer) -> Answer {
        let document = || {
            let document = try_read(self.agent.get(self.url("/openapi.json")).call())?;
            Some(document.json())
        };
        openapi::check(document, method, path, &answer);
        answer
    }

    /// Sends a JSON body by `POST` or `PUT`.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send_text(method, path, "application/json", &[], &body.to_string())
    }

    /// Sends a body of any kind, with further headers.
    pub(crate) fn send_text(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = self.try_text(method, path, kind, headers, body);
        answer.expect("the server answers")
    }

    /// Posts bytes, with further headers.
    pub(crate) fn post_bytes(
        &self,
        path: &str,
        kind: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = self.agent.post(self.url(path));
        request = request.header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body))
    }

    /// The same; `None` if the server does not answer any more.
    pub(crate) fn try_text(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let mut request = match method {
            "PUT" => self.agent.put(self.url(path)),
            _ => self.agent.post(self.url(path)),
        };
        request = request.header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = try_read(request.send(body))?;
        Some(self.documented(method, path, answer))
    }

    /// Gets a path with further headers; `None` if the server does not answer any more.
    pub(crate) fn try_get_with(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        try_read(request.call())
    }

    /// What it said when it started; the last line has its address.
    pub(crate) fn said(&self) -> &[String] {
        &self.said
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The process, for tests that kill it.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop; returns whether it succeeded.
    pub(crate) fn stop(self) -> bool {
        self.terminate();
        self.ended()
    }

    /// Asks the process to stop.
    pub(crate) fn terminate(&self) {
        self.send_signal("-TERM");
    }

    /// Kills the process while others still ask it.
    pub(crate) fn kill_now(&self) {
        self.send_signal("-KILL");
    }

    fn send_signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the process; returns whether it succeeded.
    pub(crate) fn ended(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where a test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends raw bytes, and returns the whole raw answer.
pub(crate) fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // The server may answer and close before all of it is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    try_read(answer).expect("the server answers")
}

fn try_read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut answer = answer.ok()?;
    Some(Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body_mut().read_to_vec().ok()?,
    })
}
