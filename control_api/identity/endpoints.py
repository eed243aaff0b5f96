"""All routes of identity."""

from control_api.identity import profile_endpoints, sign_in_endpoints, user_endpoints, workspace_endpoints

routers = (
    user_endpoints.router,
    sign_in_endpoints.router,
    sign_in_endpoints.callback_router,
    profile_endpoints.router,
    workspace_endpoints.router,
)
