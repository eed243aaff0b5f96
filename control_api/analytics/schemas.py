"""Counts of scans as JSON."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from control_api.analytics.model import UNIQUE_DEFINITION, Bucket, Granularity, Share
from control_api.analytics.service import CodeCounts


def _in_its_zone(at: datetime) -> str:
    """With its offset; UTC is written as everywhere in the API."""
    return at.isoformat() if at.utcoffset() else at.replace(tzinfo=None).isoformat() + "Z"


Zoned = Annotated[
    datetime,
    PlainSerializer(_in_its_zone, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class BucketAnswer(BaseModel):
    """One hour, day, week or month."""

    at: Zoned = Field(description="Its start, in the asked time zone")
    scans: int
    visitors: int

    @classmethod
    def of(cls, bucket: Bucket) -> "BucketAnswer":
        return cls.model_validate(bucket, from_attributes=True)


class ShareAnswer(BaseModel):
    """How many of the scans had a value."""

    value: str = Field(description="Empty: unknown")
    scans: int

    @classmethod
    def of(cls, share: Share) -> "ShareAnswer":
        return cls.model_validate(share, from_attributes=True)


class QrCodeAnalytics(BaseModel):
    """The counted scans of a code: redirects, without those of bots unless asked for."""

    qr_id: UUID
    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to", description="The first moment after the period")
    timezone: str
    granularity: Granularity
    total_scans: int
    unique_visitors: int
    unique_definition: str = UNIQUE_DEFINITION
    series: list[BucketAnswer] = Field(description="Without gaps: what has no scans has a 0")
    countries: list[ShareAnswer] = Field(description="ISO 3166-1 alpha-2 codes, the largest first")
    devices: list[ShareAnswer]
    os: list[ShareAnswer]
    browsers: list[ShareAnswer]

    @classmethod
    def of(cls, qr_id: UUID, counts: CodeCounts) -> "QrCodeAnalytics":
        totals, period = counts.totals, counts.totals.period
        shares = {name: [ShareAnswer.of(share) for share in found] for name, found in counts.shares.items()}
        return cls(
            qr_id=qr_id,
            start=period.start.astimezone(UTC),
            end=period.end.astimezone(UTC),
            timezone=period.zone.key,
            granularity=period.granularity,
            total_scans=totals.scans,
            unique_visitors=totals.visitors,
            series=[BucketAnswer.of(bucket) for bucket in counts.series],
            countries=shares["country"],
            devices=shares["device"],
            os=shares["os"],
            browsers=shares["browser"],
        )
