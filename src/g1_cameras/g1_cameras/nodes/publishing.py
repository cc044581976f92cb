"""Cameras published by a thread each, opened again for as long as they are lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from rclpy.node import Node

from g1_cameras.source import CameraLostError, CameraSource
from g1_description import Camera
from g1_ros.camera import CameraPublisher
from g1_ros.diagnostics import Diagnostics, diagnostic
from g1_ros.rates import RateMeter
from g1_ros.timers import steady_timer

_AGAIN = 1.0  # [s] between two tries to open a camera


class PublishedCamera:
    """One camera's thread. `open_source` is called, and called again when the camera is lost."""

    def __init__(self, node: Node, camera: Camera, open_source: Callable[[], CameraSource]) -> None:
        self._node, self._name, self._open = node, camera.name, open_source
        self._rate, self.problem = RateMeter(), 'not opened yet'
        self._stopping = threading.Event()
        self._publisher: CameraPublisher | None = None
        self._thread = threading.Thread(target=self._serve, name=camera.name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops publishing."""
        self._stopping.set()
        self._thread.join(3.0)

    @property
    def rate(self) -> float:
        """Images published a second."""
        return self._rate.rate()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                source = self._open()
            except (CameraLostError, RuntimeError) as error:
                self._lost(str(error))
                continue
            try:
                self._publish(source)
            except (CameraLostError, RuntimeError) as error:
                self._lost(str(error))
            finally:
                source.close()

    def _publish(self, source: CameraSource) -> None:
        # Its topics exist once the camera does: what listens sees that there is none.
        self._publisher = self._publisher or CameraPublisher(self._node, source.camera)
        while not self._stopping.is_set():
            picture = source.read()
            if self.problem:
                self.problem = ''
                self._node.get_logger().info(f'{self._name}: images come')
            self._publisher.publish(picture.pixels, picture.stamp)
            self._rate.tick()

    def _lost(self, problem: str) -> None:
        if problem != self.problem and not self._stopping.is_set():
            self._node.get_logger().error(problem)
        self.problem = problem
        self._stopping.wait(_AGAIN)


class CameraNode(Node):
    """Several cameras: `sources` gives each camera with the function that opens it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.cameras: dict[str, PublishedCamera] = {}
        self._diagnostics = Diagnostics(self)
        steady_timer(self, 1.0, self._publish_diagnostics)

    def publish(self, camera: Camera, open_source: Callable[[], CameraSource]) -> None:
        """Publishes this camera from now on."""
        self.cameras[camera.name] = PublishedCamera(self, camera, open_source)

    def destroy_node(self) -> None:
        """Lets go of the cameras."""
        for camera in self.cameras.values():
            with suppress(RuntimeError):
                camera.close()
        super().destroy_node()

    def _publish_diagnostics(self) -> None:
        self._diagnostics.publish(
            *(
                diagnostic(
                    f'{self.get_name()}: {name}',
                    not camera.problem,
                    camera.problem or 'images come',
                    rate=camera.rate,
                )
                for name, camera in self.cameras.items()
            )
        )
