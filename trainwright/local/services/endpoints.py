"""`google.cloud.aiplatform.v1.EndpointService`: endpoints, and the models deployed to them.

An endpoint's record names the deployed models whose servers are to run; a model is in it from the moment
its server was healthy until it is undeployed. Each change of the deployed models is an operation, one at a
time for an endpoint.
"""

import re
import threading
import time
from typing import Any

from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
)
from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format

from trainwright.local.services.models import Models
from trainwright.local.services.names import Project, new_id
from trainwright.local.services.operations import Cancelled, Operations
from trainwright.local.services.resources import Resources, change, etag, timestamp
from trainwright.local.services.traffic import after_deploying, after_undeploying, checked
from trainwright.local.serving import Deployments, Served, ServerFailed
from trainwright.local.store import Store

_MUTABLE = ("display_name", "description", "labels", "traffic_split")
# Reference of CreateEndpointRequest.endpoint_id and DeployedModel.id (google-cloud-aiplatform 1.165.1).
_ENDPOINT_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}")
_DEPLOYED_MODEL_ID = re.compile(r"[1-9][0-9]{0,9}")
_ABSENT = {
    "network": "private endpoints",
    "enable_private_service_connect": "private endpoints",
    "private_service_connect_config": "private endpoints",
    "dedicated_endpoint_enabled": "dedicated endpoints: requests go to the shared one",
    "predict_request_response_logging_config": "logging of requests to BigQuery",
    "gen_ai_advanced_features_config": "generative features",
}
_MUTABLE_DEPLOYED = {
    "min_replica_count",
    "max_replica_count",
    "required_replica_count",
    "autoscaling_metric_specs",
}


class Endpoints:
    """Creates, shows, changes and deletes endpoints; deploys models to them and undeploys them."""

    def __init__(
        self,
        *,
        store: Store,
        deployments: Deployments,
        models: Models,
        operations: Operations,
        project: Project,
    ) -> None:
        self._store = store
        self._deployments = deployments
        self._models = models
        self._operations = operations
        self._project = project
        self._lock = threading.RLock()
        self._endpoints: Resources[v1.Endpoint] = Resources(store, "endpoint", v1.Endpoint, _presented)
        operations.register("deployModel", self._deploy)
        operations.register("undeployModel", self._undeploy)

    def create_endpoint(self, request: v1.CreateEndpointRequest, context: Any) -> Any:
        """Makes an endpoint without models.

        Raises:
            InvalidArgument: The display name or the endpoint's id is not valid.
            MethodNotImplemented: It asks for a kind of endpoint that is not there.
            AlreadyExists: There is an endpoint of that id.
        """
        endpoint = request.endpoint
        _check(endpoint)
        if request.endpoint_id and not _ENDPOINT_ID.fullmatch(request.endpoint_id):
            raise InvalidArgument(
                f"endpoint_id {request.endpoint_id!r}: expected a letter and up to 62 of a-z, 0-9, -,"
                " or up to 9 digits without a leading 0"
            )
        parent = self._project.canonical(request.parent)
        endpoint.name = f"{parent}/endpoints/{request.endpoint_id or new_id()}"
        endpoint.deployed_models, endpoint.traffic_split, endpoint.etag = [], {}, ""
        endpoint.create_time = endpoint.update_time = timestamp(time.time())
        try:
            self._store.create(endpoint.name, "endpoint", v1.Endpoint.serialize(endpoint))
        except FileExistsError:
            raise AlreadyExists(f"Endpoint {endpoint.name!r} exists already") from None
        return self._operations.done(
            endpoint.name, _presented(endpoint), v1.CreateEndpointOperationMetadata()
        )

    def get_endpoint(self, request: v1.GetEndpointRequest, context: Any) -> v1.Endpoint:
        """The endpoint with its deployed models."""
        return self._endpoints.get(self._project.canonical(request.name))

    def list_endpoints(self, request: v1.ListEndpointsRequest, context: Any) -> v1.ListEndpointsResponse:
        """The endpoints of a location."""
        endpoints = self._endpoints.all(f"{self._project.canonical(request.parent)}/endpoints/")
        found, token = self._endpoints.page(endpoints, request)
        return v1.ListEndpointsResponse(endpoints=found, next_page_token=token)

    def update_endpoint(self, request: v1.UpdateEndpointRequest, context: Any) -> v1.Endpoint:
        """Changes the fields of the mask.

        Raises:
            InvalidArgument: A field cannot be changed, or the new value is not valid.
            Aborted: The etag is not the endpoint's.
        """
        with self._lock:
            endpoint = self._endpoints.get(self._project.canonical(request.endpoint.name))
            if request.endpoint.etag and request.endpoint.etag != endpoint.etag:
                raise Aborted(f"Endpoint {endpoint.name!r} was changed since it was read: its etag differs")
            change(endpoint, request.endpoint, request.update_mask.paths, _MUTABLE)
            _check(endpoint)
            ids = [deployed.id for deployed in endpoint.deployed_models]
            endpoint.traffic_split = checked(endpoint.traffic_split, ids)
            return self._save(endpoint)

    def delete_endpoint(self, request: v1.DeleteEndpointRequest, context: Any) -> Any:
        """Removes an endpoint.

        Raises:
            FailedPrecondition: A model is deployed to it, or being deployed.
        """
        with self._lock:
            endpoint = self._endpoints.get(self._project.canonical(request.name))
            self._refuse_second(endpoint.name)
            if endpoint.deployed_models:
                ids = ", ".join(deployed.id for deployed in endpoint.deployed_models)
                raise FailedPrecondition(
                    f"Endpoint {endpoint.name!r} has deployed models: {ids}; undeploy them first"
                )
            self._store.delete(endpoint.name)
        return self._operations.done(endpoint.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())

    def deploy_model(self, request: v1.DeployModelRequest, context: Any) -> Any:
        """Starts a server for a model and gives it a part of the endpoint's traffic once it is healthy.

        Raises:
            InvalidArgument: The model cannot be served here, or the traffic split is not valid.
            NotFound: There is no such endpoint or model.
            FailedPrecondition: Another operation changes the endpoint's models.
        """
        deployed = request.deployed_model
        _check_resources(deployed)
        model = self._models.resolve(deployed.model)
        with self._lock:
            endpoint = self._endpoints.get(self._project.canonical(request.endpoint))
            ids = [other.id for other in endpoint.deployed_models]
            if deployed.id and (not _DEPLOYED_MODEL_ID.fullmatch(deployed.id) or deployed.id in ids):
                raise InvalidArgument(
                    f"deployed_model.id {deployed.id!r}: expected 1 to 10 digits that no deployed model has"
                )
            deployed.id = deployed.id or new_id()
            deployed.model, deployed.model_version_id = model.name, model.version_id
            deployed.display_name = deployed.display_name or model.display_name
            request.endpoint = endpoint.name
            after_deploying(endpoint.traffic_split, request.traffic_split, ids, deployed.id)
            served = self.served(endpoint, deployed)
            try:
                self._deployments.check(served.spec, served.artifact_uri)
            except ValueError as error:
                raise InvalidArgument(f"Model {model.name}@{model.version_id}: {error}") from None
            self._refuse_second(endpoint.name)
            asked = v1.DeployModelRequest.serialize(request)
            return self._operations.begin(
                endpoint.name, "deployModel", asked, v1.DeployModelOperationMetadata()
            )

    def undeploy_model(self, request: v1.UndeployModelRequest, context: Any) -> Any:
        """Takes a model from the endpoint and ends its server.

        Raises:
            NotFound: There is no such endpoint or deployed model.
            InvalidArgument: The traffic split is not valid.
            FailedPrecondition: The model would still have traffic, or another operation changes the models.
        """
        with self._lock:
            endpoint = self._endpoints.get(self._project.canonical(request.endpoint))
            deployed = deployed_of(endpoint, request.deployed_model_id)
            ids = [other.id for other in endpoint.deployed_models]
            endpoint.traffic_split = after_undeploying(
                endpoint.traffic_split, request.traffic_split, ids, deployed.id
            )
            self._refuse_second(endpoint.name)
            endpoint.deployed_models = [o for o in endpoint.deployed_models if o.id != deployed.id]
            request.endpoint = endpoint.name
            asked = v1.UndeployModelRequest.serialize(request)
            # From here on it gets no requests; the operation ends its process.
            self._save(endpoint)
            return self._operations.begin(
                endpoint.name, "undeployModel", asked, v1.UndeployModelOperationMetadata()
            )

    def mutate_deployed_model(self, request: v1.MutateDeployedModelRequest, context: Any) -> Any:
        """Changes how many replicas a deployed model has on Vertex AI; here it has one.

        Raises:
            InvalidArgument: A field of the mask cannot be changed, or there is no mask.
        """
        with self._lock:
            endpoint = self._endpoints.get(self._project.canonical(request.endpoint))
            deployed = deployed_of(endpoint, request.deployed_model.id)
            if not request.update_mask.paths:
                raise InvalidArgument("update_mask: empty; expected the fields to change")
            for path in request.update_mask.paths:
                _mutate(deployed, request.deployed_model, path)
            self._save(endpoint)
        answer = v1.MutateDeployedModelResponse(deployed_model=deployed)
        return self._operations.done(endpoint.name, answer, v1.MutateDeployedModelOperationMetadata())

    def endpoint(self, name: str) -> v1.Endpoint:
        """The endpoint of that name, in whatever form it comes.

        Raises:
            NotFound: There is none.
        """
        return self._endpoints.get(self._project.canonical(name))

    def model_display_name(self, deployed: v1.DeployedModel) -> str:
        """The display name of the model that is deployed, which may have been changed since."""
        return self._models.resolve(f"{deployed.model}@{deployed.model_version_id}").display_name

    def served(self, endpoint: v1.Endpoint, deployed: v1.DeployedModel) -> Served:
        """A deployed model as its server gets it."""
        model = self._models.resolve(f"{deployed.model}@{deployed.model_version_id}")
        machine = json_format.MessageToDict(v1.DedicatedResources.pb(deployed.dedicated_resources))
        return Served(
            spec=json_format.MessageToDict(v1.ModelContainerSpec.pb(model.container_spec)),
            artifact_uri=model.artifact_uri,
            endpoint_id=endpoint.name.rpartition("/")[2],
            deployed_model_id=deployed.id,
            project_number=self._project.number,
            machine=machine.get("machineSpec", {}),
        )

    def _deploy(self, asked: bytes, cancelled: threading.Event) -> v1.DeployModelResponse:
        """The work of deployModel."""
        request = v1.DeployModelRequest.deserialize(asked)
        deployed = request.deployed_model
        endpoint = self._endpoints.get(request.endpoint)
        if deployed.id in [other.id for other in endpoint.deployed_models]:  # before a kill
            return v1.DeployModelResponse(deployed_model=deployed_of(endpoint, deployed.id))
        served = self.served(endpoint, deployed)
        try:
            self._deployments.deploy(served, cancelled)
        except ServerFailed as error:
            if cancelled.is_set():
                raise Cancelled from None
            raise FailedPrecondition(f"The model was not deployed: {error}") from None
        try:
            with self._lock:
                endpoint = self._endpoints.get(request.endpoint)
                self._models.resolve(f"{deployed.model}@{deployed.model_version_id}")  # not deleted meanwhile
                ids = [other.id for other in endpoint.deployed_models]
                endpoint.traffic_split = after_deploying(
                    endpoint.traffic_split, request.traffic_split, ids, deployed.id
                )
                deployed.create_time = timestamp(time.time())
                endpoint.deployed_models = [*endpoint.deployed_models, deployed]
                self._save(endpoint)
        except BaseException:
            self._deployments.undeploy(served.endpoint_id, served.deployed_model_id)
            raise
        return v1.DeployModelResponse(deployed_model=deployed)

    def _undeploy(self, asked: bytes, cancelled: threading.Event) -> v1.UndeployModelResponse:
        """The work of undeployModel."""
        request = v1.UndeployModelRequest.deserialize(asked)
        self._deployments.undeploy(request.endpoint.rpartition("/")[2], request.deployed_model_id)
        return v1.UndeployModelResponse()

    def _refuse_second(self, name: str) -> None:
        if running := self._operations.running(name):
            raise FailedPrecondition(
                f"There are other operations running on the Endpoint {name!r}: {', '.join(running)}"
            )

    def _save(self, endpoint: v1.Endpoint) -> v1.Endpoint:
        endpoint.update_time = timestamp(time.time())
        endpoint.etag = ""
        self._endpoints.save(endpoint.name, endpoint)
        return _presented(endpoint)


def deployed_of(endpoint: v1.Endpoint, deployed_model_id: str) -> v1.DeployedModel:
    """The deployed model of that id.

    Raises:
        NotFound: The endpoint has none.
    """
    for deployed in endpoint.deployed_models:
        if deployed.id == deployed_model_id:
            return deployed
    raise NotFound(f"Endpoint {endpoint.name!r} has no deployed model {deployed_model_id!r}")


def _presented(endpoint: v1.Endpoint) -> v1.Endpoint:
    endpoint.etag = etag(endpoint)
    return endpoint


def _check(endpoint: v1.Endpoint) -> None:
    if not 0 < len(endpoint.display_name) <= 128:
        raise InvalidArgument(
            f"endpoint.display_name {endpoint.display_name!r}: expected 1 to 128 characters"
        )
    for name, what in _ABSENT.items():
        if name in v1.Endpoint.pb(endpoint).DESCRIPTOR.fields_by_name and getattr(endpoint, name):
            raise MethodNotImplemented(f"endpoint.{name}: local Vertex AI has no {what}")


def _check_resources(deployed: v1.DeployedModel) -> None:
    kind = v1.DeployedModel.pb(deployed).WhichOneof("prediction_resources")
    if kind == "shared_resources":
        raise MethodNotImplemented("deployed_model.shared_resources: local Vertex AI has no resource pools")
    if kind is None:
        raise InvalidArgument(
            "deployed_model: expected dedicated_resources or automatic_resources, found neither"
        )
    least = getattr(deployed, kind).min_replica_count
    if kind == "dedicated_resources" and least < 1:
        raise InvalidArgument(
            f"deployed_model.dedicated_resources.min_replica_count: {least}; expected 1 or more"
        )


def _mutate(deployed: v1.DeployedModel, changes: v1.DeployedModel, path: str) -> None:
    """Changes one field of a deployed model, in place."""
    resources, _, name = path.rpartition(".")
    if path == "disable_container_logging":
        deployed.disable_container_logging = changes.disable_container_logging
    elif resources in ("dedicated_resources", "automatic_resources") and name in _MUTABLE_DEPLOYED:
        if v1.DeployedModel.pb(deployed).WhichOneof("prediction_resources") != resources:
            raise InvalidArgument(f"update_mask {path!r}: the model was not deployed with {resources}")
        setattr(getattr(deployed, resources), name, getattr(getattr(changes, resources), name))
    else:
        allowed = ", ".join(sorted(_MUTABLE_DEPLOYED))
        raise InvalidArgument(
            f"update_mask {path!r}: can be changed: disable_container_logging, and of the resources {allowed}"
        )
