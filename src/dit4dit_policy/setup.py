from setuptools import find_packages, setup

package_name = 'dit4dit_policy'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed', 'checkpoints/*/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
        ('bin', ['bin/dit4dit']),
    ],
    install_requires=[
        'accelerate>=1.15',
        'diffusers>=0.42,<0.43',
        'filelock',
        'g1_data',
        'g1_description',
        'matplotlib',
        'msgpack',
        'numpy',
        'pillow',
        'pyyaml',
        'rich',
        'safetensors',
        'scikit-learn',
        'setuptools',
        'torch>=2.6',
        'transformers>=5.23,<6',
        'websockets',
    ],
    extras_require={'test': ['pytest']},
    zip_safe=False,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='The DiT4DiT video-action model: inference, training, evaluation, policy node.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'dit4dit = dit4dit_policy.cli:main',
            'policy_node = dit4dit_policy.nodes.policy_node:main',
        ],
        'dit4dit.backbones': [
            'cosmos = dit4dit_policy.model.cosmos.backbone:CosmosBackbone',
            'qwen3_vl = dit4dit_policy.model.qwen3_vl.backbone:Qwen3VLBackbone',
        ],
        'dit4dit.policies': [
            'dit4dit = dit4dit_policy.inference.shipped:load',
            'remote = dit4dit_policy.inference.remote:load',
        ],
    },
)
