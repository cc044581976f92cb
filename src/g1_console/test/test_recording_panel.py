"""What the operator of a recording session sees and hears, on made-up snapshots."""

from dataclasses import replace

import pytest
from dit4dit_msgs.msg import EpisodeStatus, SafetyStatus
from rich.console import Console

from g1_console import recording_panel
from g1_console.recording_panel import Cues, panel
from g1_console.snapshot import Checkpoint, Computer, Diagnostic, Snapshot, Topic
from g1_console.status import view
from g1_control.safety import SafetyParameters

READY = EpisodeStatus(
    state=EpisodeStatus.IDLE,
    task='put the flower in the vase',
    episode_index=12,
    episodes_saved=12,
    episodes_goal=200,
    healthy=True,
    text='ready: call recorder/start',
)
SESSION = Snapshot(
    robot='sim',
    machine='both',
    limits=SafetyParameters(),
    topics={
        'recorder/status': Topic(('recorder_node',), 2.0, 0.2, 0.001),
        'joint_states': Topic(('control_node',), 125.0, 0.005, 0.001),
    },
    computer=Computer({}, True, 0, 0, 1),
    checkpoint=Checkpoint('somewhere'),
    safety=SafetyStatus(mode=SafetyStatus.ACTIVE, text='ACTIVE: following'),
    recorder=READY,
    diagnostics={
        'recorder_node': Diagnostic('ready', {'image_rate_hz': '29.97'}),
        'teleop_node': Diagnostic(
            'left: out of reach, 42 mm away',
            {'target_rate_hz': '99.6', 'buttons': 'A start, B save', 'answer': 'saved episode 11'},
        ),
    },
)


def status(state=EpisodeStatus.IDLE, text='', healthy=True, **values):
    fields = {name: getattr(READY, name) for name in READY.get_fields_and_field_types()}
    return EpisodeStatus(**{**fields, 'state': state, 'healthy': healthy, 'text': text, **values})


RECORDING = status(
    EpisodeStatus.RECORDING, 'recording episode 12: put it there', frames=73, duration=67.3
)


def text_of(renderable):
    console = Console(width=140)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_panel_says_all_that_an_operator_wants_to_know():
    text = text_of(panel(SESSION))
    for words in (
        'put the flower in the vase',
        'IDLE',
        '12 of 200',
        'ready: call recorder/start',
        'ACTIVE: following',
        'out of reach, 42 mm away',
        'joint_states 125 Hz, image 30 Hz, target 100 Hz',
        'A start, B save',
        'saved episode 11',
    ):
        assert words in text


def test_the_running_episode_shows_its_time_its_frames_and_what_was_lost():
    text = text_of(panel(replace(SESSION, recorder=RECORDING)))
    assert 'RECORDING' in text and '1:07.3' in text and '73 frames, 0 dropped' in text
    lossy = status(EpisodeStatus.RECORDING, '4 frames missed', False, frames_dropped=4)
    assert '4 dropped' in text_of(panel(replace(SESSION, recorder=lossy)))


def test_a_node_that_is_not_there_is_missed():
    silent = {**SESSION.topics, 'recorder/status': Topic(('recorder_node',), 0.0, 4.2)}
    text = text_of(panel(replace(SESSION, safety=None, diagnostics={}, topics=silent)))
    assert 'control_node is not heard' in text and 'teleop_node is not heard' in text
    assert 'recorder_node has said nothing for 4 s' in text


def test_g1_status_shows_the_panel_only_when_a_recorder_is_there():
    assert 'put the flower' in text_of(view(SESSION))
    assert 'put the flower' not in text_of(view(replace(SESSION, recorder=None)))


def test_the_bell_rings_once_for_each_thing_that_happens():
    console = Console(force_terminal=True)
    cues = Cues('bell', console)
    faulty = status(EpisodeStatus.RECORDING, 'no image for 0.52 s', False)
    for expected, *heard in (
        (0, None, READY, READY),
        (1, RECORDING, RECORDING),
        (1, faulty, faulty),
        (1, status(EpisodeStatus.SAVING, 'saving'), status(text='saved', episodes_saved=13)),
        (0, status(text='saved', episodes_saved=13)),
    ):
        with console.capture() as capture:
            for one in heard:
                cues.hear(one)
        assert capture.get().count('\a') == expected, heard


def test_speech_says_the_recorders_own_words(monkeypatch):
    said = []
    monkeypatch.setattr(recording_panel.shutil, 'which', lambda name: name == 'espeak')
    monkeypatch.setattr(recording_panel.subprocess, 'Popen', lambda words, **_: said.append(words))
    cues = Cues('speech', Console())
    for one in (READY, RECORDING, status(text='discarded 73 frames')):
        cues.hear(one)
    assert said == [['espeak', 'recording episode 12'], ['espeak', 'discarded 73 frames']]


def test_it_is_said_who_gets_the_arms(monkeypatch):
    said = []
    monkeypatch.setattr(recording_panel.shutil, 'which', lambda name: name == 'espeak')
    monkeypatch.setattr(recording_panel.subprocess, 'Popen', lambda words, **_: said.append(words))
    cues = Cues('speech', Console())
    policy, operator = SafetyStatus.CONTROL_POLICY, SafetyStatus.CONTROL_OPERATOR
    for source in (policy, policy, operator, operator, policy):
        cues.hear_control(SafetyStatus(control_source=source))
        cues.hear_control(None)
    assert [words[1] for words in said] == ['the operator has the arms', 'the policy has the arms']


def test_speech_without_a_program_that_speaks_says_what_to_install(monkeypatch):
    monkeypatch.setattr(recording_panel.shutil, 'which', lambda name: None)
    with pytest.raises(FileNotFoundError, match='speech-dispatcher'):
        Cues('speech', Console())
