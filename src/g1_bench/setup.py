from setuptools import find_packages, setup

package_name = 'g1_bench'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
    ],
    install_requires=['setuptools'],
    extras_require={'test': ['pytest']},
    zip_safe=True,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='Measures the suite: benchmarks, fault injection, the demo and its report.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [],
        'g1.commands': [
            'bench = g1_bench.benchmarks.command:main',
            'demo = g1_bench.demo:main',
            'record-demo = g1_bench.record_demo:main',
            'dagger = g1_bench.dagger:main',
            'faults = g1_bench.faults.command:main',
        ],
    },
)
