//! The log of one process: gathers acts of concurrent callers, and stores them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollbook_lake::{AuthenticationKey, LakeRoot};
use rollbook_model::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::AppError;
use crate::audit::act::{Act, AskedStatement};
use crate::audit::chain::{Chain, ChainError};
use crate::audit::seals;

/// Acts of one group at most.
const MAX_GROUP: usize = 1_000;
/// A chain with new records is sealed after this time.
const SEAL_INTERVAL: Duration = Duration::from_secs(60);
/// Objects of a chain before they are folded, so that there are never many.
const MAX_UNFOLDED: usize = 256;
/// Acts that wait until a chain can be begun, at most.
const MAX_BACKLOG: usize = 100_000;
/// How long a caller waits for its act to be stored.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// What the codes of statements are for.
const STATEMENTS: &str = "rollbook audit statement";

type Reply = oneshot::Sender<Result<(), ()>>;

enum Message {
    Act(Box<Act>, Option<Reply>),
    /// Asks whether acts can be stored.
    Ready(Reply),
    Stop(Reply),
}

/// Records acts in a chain of this process, which begins with the first one.
#[derive(Debug, Clone)]
pub struct AuditLog {
    sender: mpsc::UnboundedSender<Message>,
    /// Whether the last attempt to store something succeeded.
    is_well: Arc<AtomicBool>,
    statements: Arc<tokio::sync::OnceCell<AuthenticationKey>>,
    root: LakeRoot,
}

impl AuditLog {
    /// A log in a lake, with a task that stores what it is given. `clock` gives the times of seals.
    pub fn start(root: LakeRoot, clock: fn() -> Timestamp) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let is_well = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            root: root.clone(),
            clock,
            chain: None,
            backlog: Vec::new(),
            is_well: Arc::clone(&is_well),
        };
        tokio::spawn(writer.run(receiver));
        let statements = Arc::default();
        Self {
            sender,
            is_well,
            statements,
            root,
        }
    }

    /// Checks that acts can be stored, before something is done that has to be recorded.
    ///
    /// # Errors
    /// [`AppError::AuditUnavailable`].
    pub async fn ready(&self) -> Result<(), AppError> {
        if self.is_well.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.ask(Message::Ready).await
    }

    /// Records an act. It is durable when this returns.
    ///
    /// # Errors
    /// [`AppError::AuditUnavailable`] if it was not stored in time; it is stored later if that becomes possible.
    pub async fn record(&self, act: Act) -> Result<(), AppError> {
        self.ask(|reply| Message::Act(Box::new(act), Some(reply)))
            .await
    }

    async fn ask(&self, message: impl FnOnce(Reply) -> Message) -> Result<(), AppError> {
        let (reply, stored) = oneshot::channel();
        let sent = self.sender.send(message(reply)).is_ok();
        match timeout(MAX_WAIT, stored).await {
            Ok(Ok(Ok(()))) if sent => Ok(()),
            _ => Err(AppError::AuditUnavailable),
        }
    }

    /// Records an act whose caller does not wait for it.
    pub fn note(&self, act: Act) {
        if self.sender.send(Message::Act(Box::new(act), None)).is_err() {
            tracing::error!("an act was not recorded: the audit has stopped");
        }
    }

    /// Seals the chain. Acts after this are not recorded.
    pub async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.sender.send(Message::Stop(reply)).is_ok() {
            let _ = timeout(MAX_WAIT, stopped).await;
        }
    }

    /// The act with a statement that was asked, without the values in it. Without the master key the act is recorded
    /// all the same: what was done must not be lost.
    pub async fn with_statement(&self, mut act: Act, statement: Option<&str>) -> Act {
        let Some(text) = statement else {
            return act;
        };
        let key = || seals::key_of(&self.root, STATEMENTS);
        match self.statements.get_or_try_init(key).await {
            Ok(key) => {
                act.statement = Some(AskedStatement {
                    code: key.code(text.as_bytes()),
                    text: rollbook_engine::without_literals(text),
                });
            }
            Err(error) => tracing::error!(%error, "a statement is recorded without its text"),
        }
        act
    }
}

/// The task behind a log.
struct Writer {
    root: LakeRoot,
    clock: fn() -> Timestamp,
    chain: Option<OpenChain>,
    /// Acts that wait until a chain can be begun.
    backlog: Vec<Act>,
    is_well: Arc<AtomicBool>,
}

/// A chain whose beginning is sealed.
struct OpenChain {
    chain: Chain,
    key: AuthenticationKey,
    last_seal: Option<u64>,
    sealed: u64,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Message>) {
        let mut seal_at = Instant::now() + SEAL_INTERVAL;
        loop {
            let first = match timeout_at(seal_at, receiver.recv()).await {
                Ok(Some(message)) => Some(message),
                Ok(None) => break,
                Err(_) => None,
            };
            let (mut acts, mut replies, mut stop) = (Vec::new(), Vec::new(), None);
            let (mut next, mut is_asked) = (first, false);
            while let Some(message) = next {
                match message {
                    Message::Act(act, reply) => {
                        acts.push(*act);
                        replies.extend(reply);
                    }
                    Message::Ready(reply) => {
                        is_asked = true;
                        replies.push(reply);
                    }
                    Message::Stop(reply) => stop = Some(reply),
                }
                let is_full = acts.len() >= MAX_GROUP || stop.is_some();
                next = if is_full {
                    None
                } else {
                    receiver.try_recv().ok()
                };
            }
            if !acts.is_empty() || is_asked {
                let stored = self.store(acts).await;
                for reply in replies {
                    // Whoever does not wait any more does not need the answer.
                    let _ = reply.send(stored);
                }
            }
            if Instant::now() >= seal_at || stop.is_some() {
                seal_at = Instant::now() + SEAL_INTERVAL;
                self.seal().await;
            }
            if let Some(reply) = stop {
                let _ = reply.send(Ok(()));
                return;
            }
        }
        self.seal().await;
    }

    async fn store(&mut self, acts: Vec<Act>) -> Result<(), ()> {
        let count = acts.len();
        let room = MAX_BACKLOG.saturating_sub(self.backlog.len());
        self.backlog.extend(acts.into_iter().take(room));
        let lost = count.saturating_sub(room);
        let backlog = std::mem::take(&mut self.backlog);
        let stored = match self.open().await {
            Ok(open) if backlog.is_empty() => open.chain.store_waiting().await,
            Ok(open) => open.chain.write(backlog).await,
            Err(error) => {
                self.backlog = backlog;
                Err(error.into())
            }
        };
        self.is_well.store(stored.is_ok(), Ordering::Relaxed);
        if let Err(error) = stored {
            tracing::error!(acts = count, lost, %error, "the audit cannot be written");
            if matches!(error, ChainError::Foreign(_)) {
                // Nothing can be added to it any more; `verify` shows what happened.
                self.chain = None;
            }
            return Err(());
        }
        if let Some(open) = &mut self.chain
            && open.chain.unfolded() >= MAX_UNFOLDED
        {
            open.fold().await;
        }
        Ok(())
    }

    /// The chain, begun if it is not yet: its beginning is sealed before it has any record, so that a chain without a
    /// seal was never written by a server.
    async fn open(&mut self) -> Result<&mut OpenChain, rollbook_lake::LakeError> {
        if self.chain.is_none() {
            let key = seals::key_of(&self.root, seals::PURPOSE).await?;
            let mut open = OpenChain {
                chain: Chain::new(self.root.store().clone(), (self.clock)()),
                key,
                last_seal: None,
                sealed: 0,
            };
            open.seal((self.clock)()).await?;
            self.chain = Some(open);
        }
        Ok(self.chain.as_mut().expect("it was opened"))
    }

    /// Seals and folds what is new.
    async fn seal(&mut self) {
        let Some(open) = &mut self.chain else {
            return;
        };
        if open.sealed == open.chain.stored.0 {
            return;
        }
        // The master key may have been rotated.
        match seals::key_of(&self.root, seals::PURPOSE).await {
            Ok(key) => open.key = key,
            Err(error) => tracing::error!(%error, "the master key cannot be read"),
        }
        if let Err(error) = open.seal((self.clock)()).await {
            tracing::error!(%error, "the audit cannot be sealed");
        }
        open.fold().await;
    }
}

impl OpenChain {
    async fn seal(&mut self, at: Timestamp) -> Result<(), rollbook_lake::LakeError> {
        let (records, head) = self.chain.stored.clone();
        let store = self.chain.store().clone();
        let of = (self.chain.name.as_str(), records, head.as_str());
        seals::append(&store, &self.key, &mut self.last_seal, of, at).await?;
        self.sealed = records;
        Ok(())
    }

    async fn fold(&mut self) {
        if let Err(error) = self.chain.fold().await {
            tracing::error!(%error, "the audit cannot be folded");
        }
    }
}
