"""`google.cloud.location.Locations`, which every service of Vertex AI mixes in."""

from typing import Any

from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud.location import locations_pb2

from trainwright.local.services.filters import compile_filter, page
from trainwright.local.services.names import Project, location_of

# google-cloud-aiplatform 1.165.1, constants/base.py, SUPPORTED_REGIONS; "eu" and "us" are multi-regions.
_REGIONS = [
    "africa-south1",
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-south2",
    "asia-southeast1",
    "asia-southeast2",
    "australia-southeast1",
    "australia-southeast2",
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west12",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "global",
    "me-central1",
    "me-central2",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "southamerica-east1",
    "southamerica-west1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-east7",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
    "us-west8",
]


class Locations:
    """The regions; local Vertex AI keeps the resources of each apart."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def list_locations(self, request: Any, context: Any) -> Any:
        """The regions of a project.

        Raises:
            InvalidArgument: The name is no project's, or the filter is none.
        """
        if not request.name.startswith("projects/") or request.name.count("/") != 1:
            raise InvalidArgument(f"name {request.name!r}: expected projects/PROJECT")
        matches = compile_filter(request.filter)
        regions = [region for region in _REGIONS if matches({"location_id": region, "name": region})]
        found, token = page(regions, request.page_size, request.page_token, request.filter)
        locations = [self._location(region) for region in found]
        return locations_pb2.ListLocationsResponse(locations=locations, next_page_token=token)

    def get_location(self, request: Any, context: Any) -> Any:
        """A region.

        Raises:
            NotFound: There is none of that name.
        """
        region = location_of(request.name)
        if region not in _REGIONS or self._project.canonical(request.name).count("/") != 3:
            raise NotFound(f"Location {request.name!r} was not found")
        return self._location(region)

    def _location(self, region: str) -> locations_pb2.Location:
        name = f"projects/{self._project.number}/locations/{region}"
        return locations_pb2.Location(name=name, location_id=region)
