"""Resource Manager, as far as Google's clients ask it: which number has this project, and who may do what?"""

from typing import Any

from google.api_core.exceptions import InvalidArgument

from trainwright.local.services.filters import compile_filter, page
from trainwright.local.services.names import Project


class Projects:
    """`google.cloud.resourcemanager.v3.Projects` with the one project of a local Vertex AI.

    Google's messages are imported where they are made: they take 0.1 s that most processes need not spend.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def get_project(self, request: Any, context: Any) -> Any:
        """The project, whatever id or number it is asked for by."""
        return self._named(request.name.removeprefix("projects/"))

    def search_projects(self, request: Any, context: Any) -> Any:
        """The one project, unless the query leaves it out.

        Raises:
            InvalidArgument: The query is none, such as `id:…`, `displayName:…` or `state:ACTIVE`.
        """
        from google.cloud import resourcemanager_v3

        matches = compile_filter(request.query)
        project = self._named(self._project.id)
        facts = {
            "name": self._project.id,
            "display_name": self._project.id,
            "id": self._project.id,
            "project_id": self._project.id,
            "state": "ACTIVE",
            "labels": {},
        }
        found, token = page(
            [project] if matches(facts) else [], request.page_size, request.page_token, request.query
        )
        return resourcemanager_v3.SearchProjectsResponse(projects=found, next_page_token=token)

    def list_projects(self, request: Any, context: Any) -> Any:
        """The projects of a folder or an organization: the one that there is, whatever the parent.

        Raises:
            InvalidArgument: The parent is neither.
        """
        from google.cloud import resourcemanager_v3

        if not request.parent.startswith(("folders/", "organizations/")):
            raise InvalidArgument(f"parent {request.parent!r}: expected folders/… or organizations/…")
        found, token = page(
            [self._named(self._project.id)], request.page_size, request.page_token, request.parent
        )
        return resourcemanager_v3.ListProjectsResponse(projects=found, next_page_token=token)

    def test_iam_permissions(self, request: Any, context: Any) -> Any:
        """All that were asked for: whoever has this local Vertex AI's key may do everything.

        Raises:
            InvalidArgument: A permission holds a wildcard, as the reference forbids.
        """
        from google.iam.v1 import iam_policy_pb2

        for permission in request.permissions:
            if "*" in permission:
                raise InvalidArgument(f"permissions {permission!r}: wildcards are not allowed")
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)

    def _named(self, asked: str) -> Any:
        from google.cloud import resourcemanager_v3

        return resourcemanager_v3.Project(
            name=f"projects/{self._project.number}",
            project_id=self._project.id if asked == self._project.number else asked,
            display_name=self._project.id,
            state=resourcemanager_v3.Project.State.ACTIVE,
        )
