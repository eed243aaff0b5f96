"""The durable hand-off of scans from the edge to ingest: append-only files on the local disk.

**Promise.** Once `flush()` has returned without a loss, the records are in the file (write(2) done): `kill -9` of
any process at any moment loses none. A power cut loses at most what the fsync interval had not yet covered.

**Layout.** The spool root holds one directory for each start of a writing process, named by a UUIDv7 and never
used again:

    <root>/<spool id>/writer.lock       held (flock) by the writing process while it lives
    <root>/<spool id>/reader.lock       held by the ingest process that has claimed the directory
    <root>/<spool id>/00000001.open     the segment being appended to (at most one)
    <root>/<spool id>/00000001.sealed   complete, immutable
    <root>/<spool id>/00000001.batch    the frozen insert of that segment (written by ingest)
    <root>/<spool id>/00000001.acked    the frozen insert after ClickHouse accepted it; removed after a grace period
    <root>/<spool id>/00000001.parked   a frozen insert that ClickHouse refused for good; an operator decides
    <root>/<spool id>/00000001.damaged  the bytes of that segment that were no record
    <root>/<spool id>/00000001.rejected its records that cannot become a row, with the reason
    <root>/<spool id>/00000001.replay*  rejected records that are tried again (ingest/dead_letters.py names the others
                                        that stand beside what was parked or is replayed)
    <root>/<spool id>/00000001.tmp      one of ingest's files while it is written; half of one after a crash

A directory appears under its final name with its lock already held, so nobody can take a new one for abandoned.
Files are 0600, directories 0700. All numbers are little-endian.

**Segment.** A header (magic, format version, spool id, segment number, time of creation, CRC), then frames:

    mark (4 bytes) · length of payload (u32) · CRC (u32) · record number in the segment (u32) · payload

The CRC is CRC-32 of the payload started from the record number plus one, so it covers both, and zeroed bytes behind
a mark are no frame. The mark lets a reader find the next frame behind damaged bytes.

**Reading.** A frame that does not check is skipped up to the next one that does; the bytes between are counted and
set aside. At the end of a segment that is a torn tail, which a crash leaves and which nobody was promised.
Record numbers stay what they were, so a record's identity does not depend on what was damaged around it.

**Sealing.** By count, size, age (while few sealed segments wait) and change of the UTC month, so that a segment is
one partition in ClickHouse. The writer seals by renaming, and tries again where the disk refuses; a dead writer's
open segment is sealed by whoever claims its directory.

**Order on disk.** What a power cut may leave at any moment is read as what came before or after, never as something
else. The name of a directory is durable before its first segment, that of a segment with its first synced bytes; a
rename is atomic, and either name of a segment is read alike. A file that ingest writes is synced under another name,
renamed, and its directory synced, before anything relies on it; a segment goes when its acknowledgement is durable.

**Bounds.** The root holds at most `max_bytes`; at the bound the unsent data stays and new scans are counted as lost,
by reason. Records of unknown codes are dropped once what waits for ClickHouse is a tenth of the bound. A disk with
less left than ingest needs takes no more scans. A failed write is undone (truncated) and counted; a failed fsync ends
the segment, since the kernel may have dropped its pages; a name that could not be synced is tried until it is. No
failure reaches the redirect.
"""

from scanhop.spool.bounded_writer import BoundedWriter
from scanhop.spool.reader import Damage, SegmentContent, read_segment
from scanhop.spool.segment import SegmentName, SpoolId
from scanhop.spool.writer import LossReason, SpoolLimits, SpoolWriter, prepare_root

__all__ = [
    "BoundedWriter",
    "Damage",
    "LossReason",
    "SegmentContent",
    "SegmentName",
    "SpoolId",
    "SpoolLimits",
    "SpoolWriter",
    "prepare_root",
    "read_segment",
]
