//! Compaction, epochs, incarnations, alarms.

use super::Batch;
use crate::{
    AlarmRequest, AlarmResponse, CompactRequest, CompactResponse, EpochTakeRequest,
    EpochTakeResponse, Error, IncarnationRequest, IncarnationResponse, Operation, Result,
};

impl Batch<'_> {
    pub(super) fn compact(&mut self, request: CompactRequest) -> Result<CompactResponse> {
        self.check_alarms(false)?;
        let marks = &mut self.marks;
        let compact_revision = marks.compact_revision;
        if request.revision <= compact_revision {
            return Err(Error::Compacted { compact_revision });
        }
        let revision = marks.revision;
        if request.revision > revision {
            return Err(Error::FutureRevision { revision });
        }
        marks.compact_revision = request.revision;
        self.push(Operation::Compact {
            revision: request.revision,
        });
        Ok(CompactResponse { revision })
    }

    pub(super) fn epoch_take(&mut self, request: EpochTakeRequest) -> EpochTakeResponse {
        let EpochTakeRequest { owner, epoch } = request;
        let taken = epoch == self.marks.epoch.next();
        if taken {
            self.marks.epoch = epoch;
            self.marks.owner = owner;
            self.push(Operation::Epoch { epoch, owner });
        }
        let marks = &self.marks;
        EpochTakeResponse {
            revision: marks.revision,
            taken,
            epoch: marks.epoch,
            owner: marks.owner,
        }
    }

    pub(super) fn incarnation(&mut self, request: IncarnationRequest) -> IncarnationResponse {
        let marks = &mut self.marks;
        let wanted = request.incarnation > marks.incarnation || request.bump_to > marks.revision;
        if wanted {
            marks.incarnation = marks.incarnation.next().max(request.incarnation);
            marks.revision = marks.revision.next().max(request.bump_to);
            marks.compact_revision = marks.revision;
            let (incarnation, revision) = (marks.incarnation, marks.revision);
            self.push(Operation::Incarnation {
                incarnation,
                revision,
            });
        }
        let marks = &self.marks;
        IncarnationResponse {
            revision: marks.revision,
            incarnation: marks.incarnation,
        }
    }

    pub(super) fn alarm(&mut self, request: AlarmRequest) -> AlarmResponse {
        let mut alarms = self.alarms().clone();
        let mut named = Vec::new();
        match request {
            AlarmRequest::Activate(alarm) => {
                named.push(alarm);
                if alarms.insert(alarm) {
                    self.push(Operation::AlarmActivate(alarm));
                    self.alarms = Some(alarms);
                }
            }
            AlarmRequest::Deactivate(alarm) => {
                if alarms.remove(&alarm) {
                    named.push(alarm);
                    self.push(Operation::AlarmDeactivate(alarm));
                    self.alarms = Some(alarms);
                }
            }
        }
        AlarmResponse {
            revision: self.marks.revision,
            alarms: named,
        }
    }
}
