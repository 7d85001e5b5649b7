//! The rules of the bridge, each of which can be taken out.

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One confirmer at a time.
    Lease,
    /// A lease that was taken over is told from the new one at the intent.
    FenceAtIntent,
    /// … and when a turn is recorded as ended.
    FenceAtFinish,
    /// The lease still runs at the intent.
    LeaseRunsAtIntent,
    /// A write that may still arrive is waited out.
    Quarantine,
    /// The attempt is the newest at the intent.
    NewestAtIntent,
    /// The attempt waits for a write at the intent.
    AnsweredAtIntent,
    /// A process that was stopped after its intent does not write.
    PromptWrite,
    /// OpenCRVS is read before it is written to.
    ReadFirst,
    /// A turn begins only for the newest attempt.
    NewestAtTurn,
    /// A newer attempt ends the older ones.
    Supersession,
    /// What was issued belongs to the record's newest attempt.
    PassOn,
    /// The first final answer wins.
    FirstAnswer,
    /// The next hop is published before the ack.
    PublishBeforeAck,
    /// The sweeper ends no attempt with a dead token that a confirmer has,
    ExpiryWaitsForTheLease,
    /// … and none of which a write may still arrive.
    ExpiryWaitsForTheWrite,
    /// Whether the token is dead is looked at once more in the transaction that ends its attempt.
    DeadAtEnd,
    /// The end of a token tells of the ID that was issued in vain.
    OrphanAtEnd,
    /// Nothing is written before OpenCRVS has surely taken our answer.
    ConfirmAfter,
}

/// The rules that are in force: all but these.
#[derive(Debug, Clone, Copy)]
pub struct Rules(pub &'static [Rule]);

impl Rules {
    pub fn has(self, rule: Rule) -> bool {
        !self.0.contains(&rule)
    }
}
