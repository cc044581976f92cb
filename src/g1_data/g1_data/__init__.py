"""Episodes on disk: LeRobot v2.1 writer and reader, statistics."""

from g1_data.assemble import merge
from g1_data.dataset import Dataset, Episode
from g1_data.writer import DatasetWriter, EpisodeWriter

__all__ = ['Dataset', 'DatasetWriter', 'Episode', 'EpisodeWriter', 'merge']
