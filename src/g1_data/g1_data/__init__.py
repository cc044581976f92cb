"""Episodes on disk: LeRobot v2.1 writer and reader, statistics."""

from g1_data.assemble import merge
from g1_data.dataset import Dataset, Episode
from g1_data.episode_writer import EpisodeWriter
from g1_data.schema import Extra, Schema
from g1_data.writer import DatasetWriter

__all__ = ['Dataset', 'DatasetWriter', 'Episode', 'EpisodeWriter', 'Extra', 'Schema', 'merge']
