"""How a token reaches the person it is for: the place of an e-mail module."""

from typing import Protocol

from scanhop.telemetry.logs import get_logger


class Delivery(Protocol):
    """Takes a message over. It never holds up an answer, so that its time tells nobody whether there is a user."""

    async def deliver_password_reset(self, email: str, token: str) -> None: ...


class NoDelivery:
    """Nothing is sent: a platform admin makes the reset and hands its token on."""

    async def deliver_password_reset(self, email: str, token: str) -> None:
        get_logger().info("password_reset_not_delivered", consequence="a platform admin must make one")
