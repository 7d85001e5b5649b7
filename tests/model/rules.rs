//! The rules of the bridge. Each can be removed, to show what it prevents.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// At most one confirmer at a time has the lease.
    Lease,
    /// The fence is checked at the intent.
    FenceAtIntent,
    /// The fence is checked when the result is recorded.
    FenceAtFinish,
    /// The lease must be active at the intent.
    LeaseRunsAtIntent,
    /// Nobody writes within the quarantine of an earlier write.
    Quarantine,
    /// The attempt must be the newest at the intent.
    NewestAtIntent,
    /// The attempt must be answered and not ended at the intent.
    AnsweredAtIntent,
    /// A process that was stopped after its intent does not write when it continues.
    PromptWrite,
    /// The record is read in OpenCRVS before it is written.
    ReadFirst,
    /// The confirmer starts only for the newest attempt.
    NewestAtLease,
    /// A newer attempt supersedes the older ones.
    Supersession,
    /// An issued ID belongs to the newest attempt of the record.
    PassOn,
    /// The first final answer wins.
    FirstAnswer,
    /// The next hop is published before the acknowledgement.
    PublishBeforeAck,
    /// The sweeper expires no attempt whose record a confirmer has leased.
    ExpiryWaitsForTheLease,
    /// The sweeper expires no attempt within the quarantine of a write.
    ExpiryWaitsForTheWrite,
    /// The transaction that expires an attempt checks once more that its token has expired.
    DeadAtEnd,
    /// Expiring an attempt raises an alarm for an ID that was issued in vain.
    OrphanAtEnd,
    /// Nothing is written before OpenCRVS has certainly processed our answer.
    ConfirmAfter,
    /// A stamp from the future does not order the attempts of a record.
    FutureOrdersNothing,
    /// After a stamp from the future, a status with an earlier time is not taken for an older one.
    FutureAtRead,
    /// An operator decides only about an attempt that is parked or held, or has no answer yet.
    DecidesAtRest,
    /// An operator decides nothing while a write may still arrive.
    DecidesAfterTheWrite,
    /// An attempt that is parked without a read keeps its intent.
    ParkKeepsTheIntent,
    /// An operator decides nothing while the result of a write is unknown.
    DecidesWithoutDoubt,
    /// An operator decides only about the newest attempt.
    DecidesTheNewest,
    /// An operator does not drop an ID that was issued.
    DecidesForTheId,
    /// An operator does not enter a second ID.
    DecidesOneId,
    /// The record is read in OpenCRVS before the ID system is asked.
    CheckBeforeSend,
    /// The read before *send* compares the persons.
    ComparePersons,
    /// An attempt goes on if OpenCRVS does not have the one that superseded it.
    Revival,
    /// An attempt that the ID system was not asked about gets the answer of its record from *send*.
    LookUpBeforePassOn,
}

/// The rules that are in force: all except these.
#[derive(Debug, Clone, Copy)]
pub struct Rules(pub &'static [Rule]);

impl Rules {
    pub fn has(self, rule: Rule) -> bool {
        !self.0.contains(&rule)
    }
}
