"""Resource Manager, as far as Google's clients ask it: which number has this project?"""

from typing import Any

from trainwright.local.services.names import Project


class Projects:
    """`google.cloud.resourcemanager.v3.Projects` with the one project of a local Vertex AI."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def get_project(self, request: Any, context: Any) -> Any:
        """The project, whatever id or number it is asked for by."""
        from google.cloud import resourcemanager_v3

        asked = request.name.removeprefix("projects/")
        return resourcemanager_v3.Project(
            name=f"projects/{self._project.number}",
            project_id=self._project.id if asked == self._project.number else asked,
            display_name=self._project.id,
            state=resourcemanager_v3.Project.State.ACTIVE,
        )
