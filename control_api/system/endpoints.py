"""`/`, /v1/public/health and /v1/public/metrics."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from control_api.system.schemas import HealthAnswer
from control_api.system.service import Health
from control_api.web.guarded_route import GuardedRoute
from control_api.web.request_metrics import RequestMetrics

router = APIRouter(route_class=GuardedRoute, tags=["system"])


@router.get("/", include_in_schema=False)
@router.get("/v1/public/health", summary="Health")
async def get_health(request: Request) -> HealthAnswer:
    """Always 200: the API is alive; each store's state is in the answer."""
    health: Health = request.app.state.health
    return HealthAnswer.of(await health.list_states(), request.app.state.settings.version)


@router.get(
    "/v1/public/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics"}},
)
async def get_metrics(request: Request) -> Response:
    """In the text format."""
    metrics: RequestMetrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
